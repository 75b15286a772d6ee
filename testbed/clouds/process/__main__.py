"""Runs the fake cloud of the cluster whose spec is the first argument: ``python -m testbed.clouds.process SPEC``."""

import signal
import sys
from pathlib import Path

from testbed import spec
from testbed.clouds.process.kind import folder_of, write_addresses
from testbed.clouds.process.kinds import kind_of
from testbed.spec import INSIDE


def main() -> None:
    """Serve until the cluster ends, which kills this process too."""
    of = spec.load(Path(sys.argv[1]))
    folder = folder_of(INSIDE)
    folder.mkdir(mode=0o700, exist_ok=True)
    with kind_of(of).serve(of, folder, INSIDE / "pki") as running:
        write_addresses(INSIDE, running)
        signal.pause()


if __name__ == "__main__":
    main()
