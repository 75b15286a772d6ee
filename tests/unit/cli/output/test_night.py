"""The result of a night in each of its formats, each read by what reads that format elsewhere."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from markdown_it import MarkdownIt
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from meshinstall.cli.output.files import append_summary, check_writable, write_whole
from meshinstall.cli.output.night import night_json, night_junit, night_line, night_markdown
from meshinstall.cli.output.night_metrics import night_metrics
from meshinstall.cli.output.windows import windows_json, windows_text
from meshinstall.errors import UsageError
from meshinstall.model.gate import Gate, GateCheck, GateOutcome
from meshinstall.model.night import STATUS, CertificateEnd, Night, NightEnd, ProxiesAt, Sight, StageTime
from meshinstall.model.windows import Kind, Window, Windows

SCHEMAS = Path(__file__).parents[4] / "docs/schemas"
BEGAN = datetime(2026, 11, 30, 21, 0, tzinfo=UTC)
HOSTILE = 'a"b\\c\x1b[31m\nx</testcase>|`<script>&{}#'
GATES = (
    Gate("crds", (GateCheck("rest", GateOutcome.PASS, "as before"),), 1.25),
    Gate("control-plane", (GateCheck("ready", GateOutcome.FAIL, "istiod is not Ready", ("0 of 1",)),), 30.0),
)
SIGHT = Sight(
    (ProxiesAt("1.31.0", "1-31", 4), ProxiesAt("1.31.1", "1-31", 2), ProxiesAt("", "blue", 1)),
    (CertificateEnd("O=cluster.local", "aa11", BEGAN + timedelta(days=90)),),
    (("1.30", date(2026, 11, 30)), ("1.31", None)),
)
NIGHT = Night(
    environment="prod",
    cluster="prod-eu",
    cloud="eks",
    began=BEGAN,
    seconds=84.2,
    end=NightEnd.UNDONE,
    status=1,
    before="1.31.0",
    target="1.31.1",
    stage="control-plane",
    why="ready: istiod is not Ready",
    gates=GATES,
    stages=(StageTime("crds", 2.5, "done"), StageTime("control-plane", 80.0, "taken back", "ready: istiod is not Ready")),
    sight=SIGHT,
)
OUTSIDE = replace(
    NIGHT,
    end=NightEnd.OUTSIDE,
    status=0,
    seconds=0.2,
    before="",
    target="",
    stage="",
    why="",
    gates=(),
    stages=(),
    sight=None,
    next_open=datetime(2026, 12, 1, 22, tzinfo=ZoneInfo("Europe/Berlin")),
)
NOTHING = replace(OUTSIDE, end=NightEnd.NOTHING, before="1.31.1", target="1.31.1", next_open=None, sight=SIGHT)
LEFT = replace(
    NIGHT,
    end=NightEnd.LEFT,
    status=3,
    stage="workloads",
    why="their owners restart them",
    left=tuple(f"Deployment a/w{n}: x" for n in range(5)),
)
HOSTILE_NIGHT = replace(
    NIGHT,
    environment=HOSTILE,
    cluster=HOSTILE,
    stage=HOSTILE,
    why=HOSTILE,
    left=(HOSTILE,),
    passed=(HOSTILE,),
    gates=(Gate(HOSTILE, (GateCheck(HOSTILE, GateOutcome.NOT_PROVEN, HOSTILE),), 1.0),),
    stages=(StageTime(HOSTILE, 1.0, HOSTILE, HOSTILE),),
    sight=Sight((ProxiesAt(HOSTILE, HOSTILE, 1),), (CertificateEnd(HOSTILE, HOSTILE, BEGAN),), ((HOSTILE, BEGAN.date()),)),
)
ALL = [NIGHT, OUTSIDE, NOTHING, LEFT, HOSTILE_NIGHT, *(replace(NIGHT, end=end, status=STATUS[end]) for end in NightEnd)]


@pytest.mark.parametrize(
    ("night", "words"),
    [
        (
            NIGHT,
            "night prod on prod-eu: Istio 1.31.0 → 1.31.1, taken back at stage control-plane: ready: istiod is not Ready (84 s)",
        ),
        (OUTSIDE, "night prod on prod-eu: outside its windows, which open next on Tue 2026-12-01 22:00 Europe/Berlin (0 s)"),
        (replace(OUTSIDE, next_open=None), "night prod on prod-eu: outside its windows, and no next opening was found (0 s)"),
        (NOTHING, "night prod on prod-eu: Istio 1.31.1, nothing to do (0 s)"),
        (
            LEFT,
            "night prod on prod-eu: Istio 1.31.0 → 1.31.1, left to owners at stage workloads: their owners restart them: {}".format(
                "Deployment a/w0: x, Deployment a/w1: x, Deployment a/w2: x and 2 more (84 s)"
            ),
        ),
        (
            replace(NOTHING, passed=("1.31.2 is not known",)),
            "night prod on prod-eu: Istio 1.31.1, nothing to do; not taken: 1.31.2 is not known (0 s)",
        ),
    ],
)
def test_the_line_of_a_night(night: Night, words: str) -> None:
    assert night_line(night) == words


@pytest.mark.parametrize("night", ALL)
def test_the_line_is_one_line_that_cannot_move_a_cursor(night: Night) -> None:
    assert night_line(night).isprintable()


@pytest.mark.parametrize("night", ALL)
def test_json_follows_its_schema(night: Night) -> None:
    schema = json.loads((SCHEMAS / "night.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(night_json(night))))


def test_a_mesh_that_was_not_looked_at_has_no_proxies_and_not_none_of_them() -> None:
    assert night_json(OUTSIDE)["proxies"] is None
    assert night_json(replace(NIGHT, sight=Sight()))["proxies"] == []


def _parsed(document: str) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314 - our own


def test_junit_has_a_case_for_the_night_and_for_each_gate() -> None:
    root = _parsed(night_junit(NIGHT))
    assert root.attrib == {"name": "meshinstall upgrade --nightly", "tests": "3", "failures": "2", "errors": "0", "skipped": "0"}
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert list(cases) == ["result", "crds", "control-plane"]
    assert [child.tag for child in cases["crds"]] == ["system-out"]
    failure = cases["control-plane"].find("failure")
    assert failure is not None
    assert failure.get("message") == "FAIL ready: istiod is not Ready"


@pytest.mark.parametrize(
    ("end", "tag"),
    [
        (NightEnd.NOTHING, "system-out"),
        (NightEnd.DONE, "system-out"),
        (NightEnd.OUTSIDE, "skipped"),
        (NightEnd.PAUSED, "skipped"),
        (NightEnd.LEFT, "skipped"),
        (NightEnd.CHANGES, "skipped"),
        (NightEnd.REFUSED, "failure"),
        (NightEnd.UNDONE, "failure"),
        (NightEnd.FAILED, "failure"),
        (NightEnd.NOT_PROVEN, "error"),
        (NightEnd.INTERRUPTED, "error"),
    ],
)
def test_junit_says_what_kind_of_end_it_was(end: NightEnd, tag: str) -> None:
    root = _parsed(night_junit(replace(NIGHT, end=end, gates=())))
    assert [child.tag for child in next(root.iter("testcase"))] == [tag]
    counts = {name: root.get(name) for name in ("failures", "errors", "skipped")}
    plural = {"failure": "failures", "error": "errors"}.get(tag, tag)
    assert counts == {name: "1" if name == plural else "0" for name in counts}


def test_junit_of_hostile_words_is_still_a_document() -> None:
    root = _parsed(night_junit(HOSTILE_NIGHT))
    assert len(list(root.iter("testcase"))) == 2
    assert "\x1b" not in "".join(root.itertext())


def samples(night: Night) -> Iterator[tuple[str, dict[str, str], float]]:
    """What OpenMetrics' own parser reads."""
    for family in openmetrics.text_string_to_metric_families(night_metrics(night)):  # type: ignore[no-untyped-call] # of a library
        yield from ((sample.name.removeprefix("meshinstall_night_"), dict(sample.labels), sample.value) for sample in family.samples)


def of(night: Night, wanted: str) -> dict[str, float]:
    """The samples of a metric, by their own labels."""
    where = {"environment", "cloud"}
    return {
        ",".join(value for key, value in labels.items() if key not in where): number
        for name, labels, number in samples(night)
        if name == wanted
    }


def test_metrics_are_what_openmetrics_reads() -> None:
    assert of(NIGHT, "result") == {end.name.lower(): float(end is NightEnd.UNDONE) for end in NightEnd}
    assert of(NIGHT, "exit_status") == {"": 1.0}
    assert of(NIGHT, "duration_seconds") == {"": 84.2}
    assert of(NIGHT, "end_timestamp_seconds") == {"": BEGAN.timestamp() + 84.2}
    assert of(NIGHT, "stage_duration_seconds") == {"crds": 2.5, "control-plane": 80.0}
    assert of(NIGHT, "proxies") == {"1.31.0,1-31": 4.0, "1.31.1,1-31": 2.0, ",blue": 1.0}
    assert of(NIGHT, "certificate_days") == {"O=cluster.local,aa11": 89.999}
    # Through the last day, three hours from now.
    assert of(NIGHT, "end_of_life_days") == {"1.30": pytest.approx(0.124, abs=0.001)}
    assert {(labels["environment"], labels["cloud"]) for _, labels, _ in samples(NIGHT)} == {("prod", "eks")}


@pytest.mark.parametrize("night", ALL)
def test_metrics_are_what_the_textfile_collector_reads_too(night: Night) -> None:
    older = [sample.name for family in text_string_to_metric_families(night_metrics(night)) for sample in family.samples]
    assert older == [f"meshinstall_night_{name}" for name, _, _ in samples(night)]


def test_what_was_not_seen_has_no_sample() -> None:
    assert {name for name, _, _ in samples(OUTSIDE)} == {"result", "exit_status", "end_timestamp_seconds", "duration_seconds"}


def test_a_hostile_name_is_one_label_of_one_sample() -> None:
    assert len(of(HOSTILE_NIGHT, "proxies")) == 1
    (name,) = of(HOSTILE_NIGHT, "end_of_life_days")
    assert name.startswith('a"b\\c')


def test_a_backslash_of_a_label_is_read_as_one() -> None:
    subject = CertificateEnd(r"O=a\nb\\", "aa11", BEGAN)
    assert list(of(replace(NIGHT, sight=replace(SIGHT, certificates=(subject,))), "certificate_days")) == [r"O=a\nb\\,aa11"]


def test_the_summary_is_markdown_in_which_words_of_a_cluster_are_code() -> None:
    html = MarkdownIt("commonmark").enable("table").render(night_markdown(HOSTILE_NIGHT))
    assert "<script>" not in html
    assert html.count("<table>") == 1
    assert html.count("<tr>") == 2
    assert "<h3>Night of <code>" in html


def test_a_file_is_replaced_in_one_step_and_a_link_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "night.prom"
    target.write_text("mine")
    link.symlink_to(target)
    write_whole(link, "new")
    assert (target.read_text(), link.read_text()) == ("mine", "new")
    assert not link.is_symlink()
    assert stat.S_IMODE(link.stat().st_mode) == 0o644
    link.chmod(0o600)
    write_whole(link, "newer")
    assert stat.S_IMODE(link.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["night.prom", "target"]


def test_a_file_that_cannot_be_written_is_refused_before_the_night(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--metrics .*gone/night\.prom: cannot be written"):
        check_writable("--metrics", tmp_path / "gone/night.prom")
    with pytest.raises(UsageError, match="cannot be written"):
        check_writable("--junit", tmp_path)


def test_a_summary_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    assert append_summary(path, "one\n") == ""
    assert append_summary(path, "two\n") == ""
    assert path.read_text() == "one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_summary_that_leads_elsewhere_is_not_written(tmp_path: Path) -> None:
    elsewhere, lonely = tmp_path / "authorized_keys", tmp_path / "lonely"
    elsewhere.write_text("mine")
    lonely.write_text("mine")
    link, twin, pipe = tmp_path / "link", tmp_path / "twin", tmp_path / "pipe"
    link.symlink_to(lonely)
    twin.hardlink_to(elsewhere)
    os.mkfifo(pipe)
    for path in (link, twin, pipe, tmp_path, tmp_path / "gone/file"):
        assert append_summary(path, "theirs") != "", path
    assert (elsewhere.read_text(), lonely.read_text()) == ("mine", "mine")


WINDOWS = Windows((Window(Kind.ALLOW, "0 22 * * 1-5", timedelta(hours=4), "Europe/Berlin", "meshinstall.yaml:4"),))


def test_windows_are_shown_with_their_lines_and_whether_they_are_open() -> None:
    assert windows_text(WINDOWS, BEGAN).splitlines() == [
        "allow 0 22 * * 1-5 for 4h Europe/Berlin  (meshinstall.yaml:4)",
        "now: open until Tue 2026-12-01 02:00 Europe/Berlin",
    ]
    closed = BEGAN - timedelta(hours=1)
    assert (
        windows_text(WINDOWS, closed).splitlines()[1] == "now: outside its windows, which open next on Mon 2026-11-30 22:00 Europe/Berlin"
    )
    assert windows_text(Windows(), BEGAN).splitlines() == [
        "no windows are written: a nightly upgrade may begin at any time",
        "now: open",
    ]


@pytest.mark.parametrize("windows", [WINDOWS, Windows()])
@pytest.mark.parametrize("now", [BEGAN, BEGAN - timedelta(hours=1)])
def test_windows_as_json_follow_their_schema(windows: Windows, now: datetime) -> None:
    schema = json.loads((SCHEMAS / "windows.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(windows_json(windows, now))))
