"""No printer lets what it is given move a cursor or be a command of a pipeline, whatever it is given."""

import io
from collections.abc import Callable

import pytest

from meshinstall.cli.output.check_text import check_text
from meshinstall.cli.output.cluster_tables import listing_text
from meshinstall.cli.output.diff_text import diff_text
from meshinstall.cli.output.doctor_text import doctor_text
from meshinstall.cli.output.lint_text import lint_text
from meshinstall.cli.output.printers import plain
from meshinstall.cli.output.proxy_tables import proxies_text
from meshinstall.cli.output.tables import ExplainedRelease, explain_text
from meshinstall.engine.events import (
    Event,
    LockWaiting,
    ProxiesCounted,
    ProxiesOlder,
    RequestsMade,
    StepDone,
    StepEnded,
    StepWaiting,
    Verifying,
)
from meshinstall.engine.report.compare import Difference, Side
from meshinstall.engine.report.lint import Linted, Mistake
from meshinstall.errors import Problem
from meshinstall.model.cluster import Cloud, CloudCluster, Listing, MeshFound
from meshinstall.model.doctor import Examination, Look
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.health import CheckResult
from meshinstall.model.mesh import SyncState
from meshinstall.model.mesh_position import Carrier
from meshinstall.model.place import Place
from meshinstall.model.proxy_list import ListedProxy, ProxyList, RolledBy, Rolling
from meshinstall.model.tally import ProxyGroup, ProxyTally, Requests
from meshinstall.model.verdict import Outcome
from tests.cases import plans
from tests.fake_kube import NOON

H = "x\x1b[2J\x1b]0;t\x07\u202e\r\n::error::y\n##vso[task.complete]\n##teamcity[z]"
FINDING = Finding("CHK002", Severity.ERROR, H, H, H, H, H)
STEP = plans.load("value-changed").plan().pending[0]
HOSTILE_PROXY = ListedProxy(
    Place(H, H), H, H, H, Place(H, H), Carrier.SIDECAR, NOON, True, Rolling(RolledBy.NOBODY, H), SyncState.STALE, H, H, is_connected=True
)
PRINTERS: dict[str, Callable[[], str]] = {
    "clusters": lambda: listing_text(Listing((CloudCluster(Cloud.EKS, H, H, H, H, True, None),), {H: H}), [MeshFound((), H)]),
    "doctor": lambda: doctor_text(Examination(Cloud.EKS, (Look(H, True, H, H),), {H: H}, {H: H})),
    "check": lambda: check_text([CheckResult("CHK002", H, H, Outcome.NOT_PROVEN, (FINDING,), H)]),
    "lint": lambda: lint_text(Linted((), (Mistake(Problem(H, 1, 1, H, H), Severity.ERROR, ()),))),
    "diff": lambda: diff_text((H, H), [Difference(H, H, Side(H, H), None), Difference("", H, Side(H, H), Side(H, H))]),
    "explain": lambda: explain_text([ExplainedRelease(plans.load("fresh").desired.releases[0], (), H)]),
    "proxies": lambda: proxies_text(ProxyList(H, H, NOON, (HOSTILE_PROXY,), 1, (H,))),
    "no diff": lambda: diff_text((H, H), []),
}


def assert_harmless(said: str) -> None:
    assert all(line.isprintable() for line in said.split("\n"))
    assert not any(line.lstrip().startswith("::") for line in said.split("\n"))
    assert "##vso[" not in said
    assert "##teamcity[" not in said


@pytest.mark.parametrize("name", PRINTERS)
def test_what_is_printed_is_only_text(name: str) -> None:
    assert_harmless(PRINTERS[name]())


@pytest.mark.parametrize(
    "event",
    [
        StepWaiting(STEP, H),
        StepDone(STEP, 1, H),
        StepEnded(STEP, 1, H),
        LockWaiting(H),
        Verifying(H, 1),
        ProxiesOlder(H),
        ProxiesCounted(ProxyTally(NOON, (ProxyGroup(H, H, 1),))),
        RequestsMade(Requests(1, 1, (H,)), Requests(1, 1)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_is_only_text(event: Event) -> None:
    stream = io.StringIO()
    with plain(stream) as tell:
        tell(event)
    assert_harmless(stream.getvalue())
    # A failure has the lines of helm's own words, a request that failed its own line.
    lines = 2 if isinstance(event, RequestsMade) else 1
    assert isinstance(event, StepEnded) or stream.getvalue().count("\n") == lines
