"""Entry point: the only place that turns errors into messages and exit codes."""

import atexit
import gc
import os
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import NoReturn

from meshinstall.errors import InterruptedRunError, MeshinstallError

# Objects that may be made before the interpreter looks for cycles among them, 30 ms each time; more than a plan makes.
_GARBAGE = 200_000
# Seconds for threads that are about to end.
_THREADS = 0.2


def main() -> None:
    """Run the command line and exit; a MeshinstallError is a message, never a traceback."""
    # Imports alone make a hundred thousand objects that stay: looking for garbage after each 700 takes a tenth of a short run.
    gc.set_threshold(_GARBAGE, 10, 10)
    import click

    from meshinstall.cli.root import command_line, name_nearest
    from meshinstall.cli.running import in_one_piece

    # The interpreter's last collections would walk through everything just before all of it goes: a sixth of a plugin's time.
    atexit.register(gc.freeze)
    before = frozenset(threading.enumerate())
    try:
        _leave(before, in_one_piece(partial(command_line.main, prog_name="meshinstall", standalone_mode=False)))
    except click.ClickException as error:
        name_nearest(error).show()
        _leave(before, error.exit_code)
    except MeshinstallError as error:
        _leave(before, _tell(error))
    except (KeyboardInterrupt, click.Abort):
        _leave(before, _tell(InterruptedRunError("interrupted", "completed steps stay; run the same command again to continue")))
    except BrokenPipeError:
        # Whoever read our output (head, less) has left; nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(before, 1)


def _leave(before: Collection[threading.Thread], status: int | None) -> NoReturn:
    """Exit, also while a thread that was not there ``before`` waits for somebody who does not answer: Python would wait for it."""
    end = time.monotonic() + _THREADS
    others = [one for one in threading.enumerate() if one not in before and not one.daemon]
    for one in others:
        one.join(max(end - time.monotonic(), 0))
    if not any(one.is_alive() for one in others):
        sys.exit(status)
    # The rest of an end in order: files that go with the process, and what is not written yet.
    atexit._run_exitfuncs()  # noqa: SLF001 - os._exit leaves them out, and nothing public runs them
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status or 0)


def _tell(error: MeshinstallError) -> int:
    from meshinstall.model.foreign_text import for_log

    # Words of clusters and clouds may be in it, and control characters in those.
    sys.stderr.write(f"meshinstall: {for_log(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"  hint: {for_log(error.hint)}\n")
    return error.exit_code


if __name__ == "__main__":
    main()
