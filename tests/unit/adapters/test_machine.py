"""What is known of the processes of this machine: real ones, and a /proc that hides them."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.adapters.machine import Life, Machine

HERE = Machine()
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def named(pid: int, **changes: str) -> str:
    """The holder name of a process of this machine, as it names itself."""
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    host, place, _ = HERE.who().partition("@")[2].split("/")
    told = {"host": host, "place": place, "process": f"{pid}-{start}", **changes}
    return f"ann@{told['host']}/{told['place']}/{told['process']}"


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 1234"), OSError("No username set in the environment")])
def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def nameless() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    assert HERE.who().startswith("uid-1234@")


def test_no_two_runs_have_one_name() -> None:
    """Two machines may look the same, down to the process number: containers of one image, clones of one VM."""
    assert HERE.who() != HERE.who()
    assert Machine(Path("/nowhere")).who() != Machine(Path("/nowhere")).who()
    assert re.fullmatch(rf"[^/@]+@[^/@]+/[0-9a-f]+-[0-9]+-[0-9a-f]+/{os.getpid()}-[0-9]+", HERE.who())


def test_a_process_lives_until_its_parent_has_heard_of_its_end(child: subprocess.Popen[bytes]) -> None:
    holder = named(child.pid)
    assert HERE.life(HERE.who()) is Life.ALIVE
    assert HERE.life(holder) is Life.ALIVE
    # As runs of older versions named themselves.
    older = re.sub(r"-[0-9a-f]+(/[0-9]+-[0-9]+)$", r"\1", holder)
    assert older != holder
    assert HERE.life(older) is Life.ALIVE
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    # A zombie: threads of it might run on.
    assert HERE.life(holder) is Life.UNKNOWN
    child.wait()
    assert HERE.life(holder) is Life.DEAD
    assert HERE.life(older) is Life.DEAD


def test_a_number_that_another_process_has_now_is_no_sign_of_life(child: subprocess.Popen[bytes]) -> None:
    assert HERE.life(named(child.pid, process=f"{child.pid}-1")) is Life.DEAD


def test_what_proc_does_not_show_is_not_dead(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """As with hidepid: the folders of others are not there, one's own is."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    shutil.copy("/proc/sys/kernel/random/boot_id", tmp_path / "sys/kernel/random/boot_id")
    (tmp_path / "self").symlink_to("/proc/self")
    hidden = Machine(tmp_path)
    assert hidden.life(named(child.pid)) is Life.UNKNOWN
    assert hidden.life(named(child.pid, process=f"{child.pid}-")) is Life.UNKNOWN
    holder = named(child.pid)
    child.kill()
    child.wait()
    # The kernel answers a signal truthfully all the same.
    assert hidden.life(holder) is Life.DEAD


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="mounting a /proc with hidepid takes root")
def test_a_process_of_another_user_behind_hidepid_is_not_dead(child: subprocess.Popen[bytes]) -> None:
    look = f"""
import os, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from meshinstall.adapters.machine import Machine
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(os.path.exists("/proc/{child.pid}"), Machine().life({named(child.pid)!r}).value)
"""
    command = ["unshare", "-m", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$0" -c "$1"', sys.executable, look]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "mount" in done.stderr:
        pytest.skip("this machine does not let a test mount /proc")
    assert (done.stdout, done.stderr) == ("False unknown\n", "")


@pytest.mark.parametrize(
    "changes", [{"place": "00000000-1"}, {"place": ""}, {"host": "elsewhere"}, {"process": "x-1"}, {"process": "99999999999999999999-1"}]
)
def test_a_process_of_another_place_is_unknown(child: subprocess.Popen[bytes], changes: dict[str, str]) -> None:
    assert HERE.life(named(child.pid, **changes)) is Life.UNKNOWN


def test_a_machine_that_does_not_tell_its_boot_knows_nothing(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    blind = Machine(tmp_path)
    assert blind.life(blind.who()) is Life.UNKNOWN
    assert blind.life(named(child.pid)) is Life.UNKNOWN
    assert socket.gethostname() in blind.who()


@given(st.text() | st.from_regex(r".*@.*/.*/.*"))
def test_any_text_is_a_holder_that_nobody_knows_or_no_more(holder: str) -> None:
    assert HERE.life(holder) is Life.UNKNOWN
