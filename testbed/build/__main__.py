"""Builds what a part of the tests uses, so that no worker of them waits for another's build: python -m testbed.build tools|cluster."""

import sys

from testbed import paths
from testbed.build import catalog
from testbed.build.builder import build
from testbed.errors import TestbedError


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        build(catalog.PARTS, catalog.TESTS[sys.argv[1]], paths.cache_dir(), _say)
    except TestbedError as error:
        sys.exit(f"testbed: {error}")
