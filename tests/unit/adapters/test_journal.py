"""The journal of a run: private, a JSON object a line, and never a reason for the run to stop."""

import json
import os
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshinstall.adapters.journal import KEPT_RUNS, Journal
from meshinstall.engine.events import Event, RunEnded, RunStarted, StepDone, StepEnded, StepStarted, StepWaiting, Verifying
from tests.cases import plans
from tests.fake_kube import NOON

PLAN = plans.load("value-changed").plan()
STEP = PLAN.pending[0]
EVENTS: tuple[Event, ...] = (
    RunStarted("run-1", PLAN),
    StepStarted(STEP),
    StepWaiting(STEP, "helm upgrade"),
    StepDone(STEP, 1.23456, "192.0.2.7"),
    StepEnded(STEP, 2, "it broke"),
    RunEnded("run-1", 3, "it broke"),
    Verifying("starting the probes", 0.5),
)


def kept(folder: Path) -> list[str]:
    complaints: list[str] = []
    journal = Journal(folder, lambda: NOON, complaints.append)
    for event in EVENTS:
        journal(event)
    return complaints


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run-1.jsonl").read_text().splitlines()]


def test_every_event_is_a_line(tmp_path: Path) -> None:
    assert kept(tmp_path / "runs") == []
    found = lines(tmp_path / "runs")
    assert [line["event"] for line in found] == [
        "run-started",
        "step-started",
        "step-waiting",
        "step-done",
        "step-ended",
        "run-ended",
        "verifying",
    ]
    assert {line["time"] for line in found} == {"2026-11-21T12:00:00.000+00:00"}
    assert found[1]["changes"][0] == {"path": "pilot.autoscaleMin", "before": 2, "after": 3, "origin": "values/envs/dev.yaml:14"}
    assert found[3]["seconds"] == 1.235


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    kept(tmp_path / "state" / "runs")
    assert stat.S_IMODE((tmp_path / "state" / "runs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "runs" / "run-1.jsonl").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    complaints = kept(tmp_path / "file" / "runs")
    assert len(complaints) == 1
    assert complaints[0].endswith("the run continues without it")


def test_a_proof_without_a_run_is_not_kept(tmp_path: Path) -> None:
    Journal(tmp_path / "runs", lambda: NOON, print)(Verifying("starting the probes", 0.5))
    assert not (tmp_path / "runs").exists()


Write = Callable[..., Path]


def run_name(age: timedelta, digest: str = "0a1b2c3d") -> str:
    return f"{NOON - age:%Y%m%dT%H%M%SZ}-{digest}"


@pytest.fixture
def earlier(tmp_path: Path) -> Write:
    """Writes the journal of an earlier run."""

    def write(age: timedelta, cluster: str = PLAN.cluster, written: datetime | None = None, **other: Any) -> Path:
        name = run_name(age)
        line = {"schema": "meshinstall.dev/event/v1", "event": "run-started", "run": name, "environment": PLAN.environment, **other}
        file = tmp_path / f"{name}.jsonl"
        file.write_text(json.dumps({**line, "cluster": cluster}) + "\n")
        moment = (written or NOON - age).timestamp()
        os.utime(file, (moment, moment))
        return file

    return write


def start(folder: Path, name: str = "") -> list[str]:
    complaints: list[str] = []
    Journal(folder, lambda: NOON, complaints.append)(RunStarted(name or run_name(timedelta()), PLAN))
    return complaints


def test_journals_older_than_90_days_go_but_the_last_of_each_mesh(tmp_path: Path, earlier: Write) -> None:
    old, kept_one = earlier(timedelta(days=91)), earlier(timedelta(days=89))
    other_old, other_last = (earlier(timedelta(days=days), cluster="other") for days in (200, 150))
    assert start(tmp_path) == []
    assert {file.name for file in tmp_path.iterdir()} == {kept_one.name, other_last.name, f"{run_name(timedelta())}.jsonl"}
    assert not old.exists()
    assert not other_old.exists()


def test_journals_beyond_200_go_the_oldest_first(tmp_path: Path, earlier: Write) -> None:
    files = [earlier(timedelta(days=2, minutes=number)) for number in range(KEPT_RUNS + 5)]
    start(tmp_path)
    assert {file for file in files if not file.exists()} == set(files[KEPT_RUNS - 1 :])


def test_the_journal_of_a_run_that_still_writes_stays(tmp_path: Path, earlier: Write) -> None:
    long_one = earlier(timedelta(days=120), written=NOON - timedelta(minutes=5))
    start(tmp_path)
    assert long_one.exists()


def test_nothing_else_in_the_folder_is_ever_deleted(tmp_path: Path, earlier: Write) -> None:
    age = timedelta(days=400)
    not_ours = [tmp_path / "notes.txt", tmp_path / "2020.jsonl", tmp_path / f"{run_name(age, 'not-hex-')}.jsonl"]
    for file in not_ours:
        file.write_text("{}")
    empty = tmp_path / f"{run_name(age, '11111111')}.jsonl"
    empty.write_bytes(b"")
    other = earlier(age, run="another")
    link, target = tmp_path / f"{run_name(age, '22222222')}.jsonl", tmp_path.parent / "target.jsonl"
    target.write_text("{}")
    link.symlink_to(target)
    folder = tmp_path / f"{run_name(age, '33333333')}.jsonl"
    folder.mkdir()
    impossible = tmp_path / "20269999T000000Z-00000000.jsonl"
    impossible.write_text("{}")
    assert start(tmp_path) == []
    assert all(os.path.lexists(file) for file in (*not_ours, empty, other, link, folder, impossible, target))


def test_a_link_to_a_journal_is_none(tmp_path: Path, earlier: Write) -> None:
    earlier(timedelta(days=200))
    link = earlier(timedelta(days=400))
    link.rename(target := tmp_path.parent / "elsewhere.jsonl")
    link.symlink_to(target)
    os.utime(link, (moment := (NOON - timedelta(days=400)).timestamp(), moment), follow_symlinks=False)
    assert start(tmp_path) == []
    assert os.path.lexists(link)
    assert target.exists()


def test_journals_of_another_user_stay(tmp_path: Path, earlier: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [earlier(timedelta(days=days)) for days in (400, 300, 200)]
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    start(tmp_path)
    assert all(file.exists() for file in files)


def test_runs_that_begin_at_the_same_time_do_not_get_into_each_others_way(tmp_path: Path, earlier: Write) -> None:
    for number in range(300):
        earlier(timedelta(days=100, minutes=number))
    names = [run_name(timedelta(), f"{number:08x}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: start(tmp_path, name), names)) == [[]] * 8
    assert sorted(file.stem for file in tmp_path.iterdir()) == sorted(names)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no file system here keeps such times")  # noqa: S108 - in a folder of its own
@pytest.mark.parametrize("moment", [1e12, 9e18])
def test_a_time_that_no_calendar_has_is_no_reason_to_stop(moment: float) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        folder = Path(place)
        name = run_name(timedelta(days=400))
        file = folder / f"{name}.jsonl"
        file.write_text(json.dumps({"schema": "meshinstall.dev/event/v1", "run": name}) + "\n")
        os.utime(file, (moment, moment))
        assert start(folder) == []
        assert file.exists()
