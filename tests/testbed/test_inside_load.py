"""The load inside a mesh: what is read of what its pods write."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from tests.cluster.inside_load import inside_load

FAILED = "12:00:00 wget: server returned error: HTTP/1.1 503 Service Unavailable"


@contextmanager
def writing(file: Path, line: str = "ok") -> Iterator[None]:
    """A pod that writes a line again and again until the block ends."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.01):
            with file.open("a") as pod:
                pod.write(f"{line}\n")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_what_was_written_before_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "caller-1").write_text(f"ok\n{FAILED}\n")
    with writing(tmp_path / "caller-1"), inside_load(tmp_path, "caller") as found:
        pass
    assert found.failures == []
    assert found.answered >= 2


def test_failures_of_every_pod_count_also_of_one_that_comes_later(tmp_path: Path) -> None:
    with writing(tmp_path / "caller-1"), inside_load(tmp_path, "caller") as found:
        (tmp_path / "caller-2").write_text(f"{FAILED}\nok\n")
        (tmp_path / "other-1").write_text(f"{FAILED}\n")
    assert found.failures == [f"inside, pod caller-2: {FAILED}"]


def test_a_line_that_is_not_whole_yet_is_left_for_later(tmp_path: Path) -> None:
    with writing(tmp_path / "caller-1"), inside_load(tmp_path, "caller") as found:
        (tmp_path / "caller-2").write_text("o")
    assert found.failures == []


def test_nobody_who_is_answered_is_a_failure(tmp_path: Path) -> None:
    with (
        writing(tmp_path / "caller-1", FAILED),
        pytest.raises(TestbedError, match=r"no pod of caller was answered: .*503"),
        inside_load(tmp_path, "caller", 0.3),
    ):
        pass


def test_a_load_that_ends_before_the_block_is_a_failure(tmp_path: Path) -> None:
    def watch_a_pod_that_stops() -> None:
        with ExitStack() as stack:
            writer = stack.enter_context(ExitStack())
            writer.enter_context(writing(tmp_path / "caller-1"))
            stack.enter_context(inside_load(tmp_path, "caller", 0.3))
            writer.close()

    with pytest.raises(TestbedError, match="no pod of caller was answered after the end"):
        watch_a_pod_that_stops()
