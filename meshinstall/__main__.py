"""Entry point: the only place that turns errors into messages and exit codes."""

import atexit
import gc
import os
import sys

from meshinstall.errors import InterruptedRunError, MeshinstallError, safe

# Objects that may be made before the interpreter looks for cycles among them, 30 ms each time; more than a plan makes.
_GARBAGE = 200_000


def main() -> None:
    """Run the command line and exit; a MeshinstallError is a message, never a traceback."""
    import click

    from meshinstall.cli.root import command_line

    # Imports alone make a hundred thousand objects that stay: looking for garbage after each 700 takes a tenth of a short run.
    gc.set_threshold(_GARBAGE, 10, 10)
    # The interpreter's last collections would walk through everything just before all of it goes: a sixth of a plugin's time.
    atexit.register(gc.freeze)
    try:
        sys.exit(command_line.main(prog_name="meshinstall", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except MeshinstallError as error:
        sys.exit(_tell(error))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(_tell(InterruptedRunError("interrupted", "completed steps stay; run the same command again to continue")))
    except BrokenPipeError:
        # Whoever read our output (head, less) has left; nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _tell(error: MeshinstallError) -> int:
    # Words of clusters and clouds may be in it, and control characters in those.
    sys.stderr.write(f"meshinstall: {safe(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"  hint: {safe(error.hint)}\n")
    return error.exit_code


if __name__ == "__main__":
    main()
