"""What it costs to start the command and do nothing: CPU of ``--help`` beyond the interpreter's own."""

import sys
from statistics import median

from testbed.bench.contenders import MESHINSTALL
from testbed.bench.process import measure

_RUNS = 21


def run() -> float:
    """Seconds of CPU; the two programs take turns."""
    interpreter, command = (sys.executable, "-c", "pass"), (*MESHINSTALL, "--help")
    # The first of each may write byte code.
    pairs = [(measure(interpreter, {}).cpu, measure(command, {}).cpu) for _ in range(1 + _RUNS)][1:]
    return median(ours for _, ours in pairs) - median(bare for bare, _ in pairs)
