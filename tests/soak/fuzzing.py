"""Feeds the readers of foreign input with mutated input: python -m tests.soak.fuzzing READER SEED SECONDS.

Each reader takes bytes and gives a value or the package's own error. Everything else, more than a gibibyte and a half, or more than
SLOWEST seconds of work for one input is printed with the input, and the exit status is 1.
"""

import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from meshinstall.errors import MeshinstallError
from tests.soak.mutations import mutant
from tests.soak.readers import READERS, Reader

MOST_MEMORY = 1536 * 1024**2
# Of the processor, on a machine where others work; the largest document that is read at all takes three.
SLOWEST = 20.0


def main(name: str, seed: int, seconds: float) -> int:
    """Run one reader for so long; the seed decides the inputs."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        reader = READERS[name](Path(folder))
        count = _run(reader, random.Random(seed), seconds)  # noqa: S311 - not for secrets
    sys.stdout.write(f"{name}: {count} inputs\n")
    return 0 if count else 1


def _run(reader: Reader, chance: random.Random, seconds: float) -> int:
    end = time.monotonic() + seconds
    count = 0
    for seed in reader.seeds:
        if not _holds(reader.read, seed):
            return 0
    while time.monotonic() < end:
        if not _holds(reader.read, _next(reader.seeds, reader.words, chance)):
            return 0
        count += 1
    return count


def _next(seeds: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> bytes:
    return mutant(chance.choice(seeds), seeds, words, chance)


def _holds(read: Callable[[bytes], object], data: bytes) -> bool:
    before = time.process_time()
    try:
        read(data)
    except MeshinstallError as error:
        problem = "" if error.message else "an error without text"
    except Exception:  # noqa: BLE001 - any is what is looked for
        problem = traceback.format_exc()
    else:
        problem = ""
    if not problem and (took := time.process_time() - before) > SLOWEST:
        problem = f"it took {took:.1f} s"
    if problem:
        file = Path(tempfile.mkstemp(prefix="fuzz-")[1])
        file.write_bytes(data)
        sys.stdout.write(f"{problem}\nthe input is in {file}: {data[:500]!r}\n")
    return not problem


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
