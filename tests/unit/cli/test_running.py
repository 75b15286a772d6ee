"""A command ends whatever it still does: what hangs in its event loop, and what hangs where it cleans up."""

import signal
import subprocess
import sys

import pytest

from tests.cluster.mesh import hearing_ctrl_c

# What a command is given for its end, so that nobody waits for it here.
RUN = """
import time
import anyio
from meshinstall.cli import running
running._ENDING = 0.3

async def work():
{work}

running.run(work, seconds={seconds})
"""
HANGS_IN_THE_LOOP = "    print('begun', flush=True)\n    time.sleep(600)"
HANGS_AT_THE_END = """    try:
        print('begun', flush=True)
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()"""


def ended(work: str, seconds: float | None, number: signal.Signals | None = None) -> tuple[int, str]:
    """Status and words of a command, which got a signal when it had begun."""
    argv = [sys.executable, "-c", RUN.format(work=work, seconds=seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hearing_ctrl_c) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        if number:
            process.send_signal(number)
        try:
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    return process.returncode, said


@pytest.mark.parametrize("work", [HANGS_IN_THE_LOOP, HANGS_AT_THE_END])
def test_its_time_ends_it_whatever_hangs(work: str) -> None:
    status, said = ended(work, 0.2)
    assert status == 1
    assert said == "meshinstall: ended without having cleaned up everything\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_whatever_hangs_where_it_cleans_up(number: signal.Signals) -> None:
    status, said = ended(HANGS_AT_THE_END, None, number)
    assert status == 130
    assert said == "meshinstall: ended without having cleaned up everything\n"
