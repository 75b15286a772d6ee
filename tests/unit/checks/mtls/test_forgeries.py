"""What a tenant makes up in namespaces of his own changes no row of anybody else; in his own namespace he can only worsen rows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.model.clients import ClientGroup, Outlook
from meshinstall.model.foreign_text import line
from meshinstall.model.mesh import Dataplane, Place, Pod
from meshinstall.model.verdict import Outcome, Source, Verdict
from tests.cases import verdicts
from tests.cases.verdicts import FOLDER, Case

FORGERIES = ("forged-control-plane", "forged-probe-namespace", "hostile-owner")
_RANK = {Outcome.FAIL: 0, Outcome.NOT_PROVEN: 1, Outcome.PASS: 2}
CASES = sorted(set(verdicts.names()) - {*FORGERIES})


def forged(name: str) -> tuple[Case, set[str]]:
    """A case that differs from the mesh that passes by what a tenant made, and the namespaces that are his."""
    differs = yaml.safe_load((FOLDER / name / "case.yaml").read_text())["facts"]
    return verdicts.load(name), set(differs["namespaces"])


def rows(verdict: Verdict, without: set[str]) -> Mapping[tuple[str, str, int], Any]:
    """Outcome and evidence of each row of other namespaces; what clients do names theirs, and a tenant may well be a client."""
    return {
        (port.namespace, port.workload, port.port): (
            port.outcome,
            port.mode,
            [replace(one, text="") if one.source is Source.CLIENT else one for one in port.evidence],
            port.pods,
        )
        for port in verdict.ports
        if port.namespace not in without
    }


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("name", CASES)
def test_a_forgery_changes_no_row_of_other_namespaces(name: str, forgery: str) -> None:
    case, (made, his) = verdicts.load(name), forged(forgery)
    # His own clients were asked too, and send nothing.
    asked = [ClientGroup((pod.place,), Outlook(), pod.place) for pod in made.facts.pods if pod.place.namespace in his]
    clients = case.facts.clients and replace(case.facts.clients, groups=(*case.facts.clients.groups, *asked))
    facts = replace(
        case.facts,
        clients=clients,
        namespaces={**case.facts.namespaces, **{space: made.facts.namespaces[space] for space in his}},
        pods=(*(pod for pod in made.facts.pods if pod.place.namespace in his), *case.facts.pods),
        proxies={**case.facts.proxies, **{place: proxy for place, proxy in made.facts.proxies.items() if place.namespace in his}},
    )
    after = replace(case, facts=facts).verdict()
    assert rows(after, his) == rows(case.verdict(), his)
    assert {port.namespace for port in after.ports} & his


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_judged_itself(forgery: str) -> None:
    case, his = forged(forgery)
    found = case.verdict()
    assert {port.outcome for port in found.ports if port.namespace in his} == {Outcome.FAIL}
    # Each of his workloads has a row, or is counted beside the mesh: none is hidden by what it calls itself.
    rows = {(port.namespace, port.workload) for port in found.ports}
    members, beside = {namespace for namespace, _ in rows}, {one.namespace: one.pods for one in found.outside}
    for namespace in his:
        mine = [line(pod.workload) for pod in case.facts.pods if pod.place.namespace == namespace]
        assert ({(namespace, one) for one in mine} <= rows) if namespace in members else (beside[namespace] == len(mine))


KINDS = st.sampled_from([Dataplane.NONE, Dataplane.SIDECAR, Dataplane.CONTROL, Dataplane.AMBIENT])
MERGED = st.builds(
    Pod,
    place=st.builds(Place, st.just("shop"), st.sampled_from(["evil-1", "web-0", "zzz"])),
    workload=st.sampled_from(["Deployment web", "StatefulSet api"]),
    dataplane=KINDS,
    labels=st.sampled_from([{}, {"app": "web"}, {"app": "istiod"}, {"meshinstall.dev/probe": "client"}]),
    captured=st.booleans(),
    running=st.booleans(),
    ip=st.just("10.0.9.9"),
)


def worst(verdict: Verdict) -> Mapping[tuple[str, str, int], int]:
    return {(port.namespace, port.workload, port.port): _RANK[port.outcome] for port in verdict.ports}


@given(st.lists(MERGED, min_size=1, max_size=3), st.sampled_from(["strict", "permissive-namespace", "uninjected", "wire-open"]))
def test_a_pod_that_names_another_owner_worsens_rows_of_its_own_namespace_alone(pods: list[Pod], name: str) -> None:
    """An ownerReference leads nowhere outside the pod's namespace; a workload none of whose own pods runs is not among these cases."""
    case = verdicts.load(name)
    after = replace(case, facts=replace(case.facts, pods=(*case.facts.pods, *pods))).verdict()
    assert all(worst(after)[row] <= rank for row, rank in worst(case.verdict()).items())
    assert rows(after, {"shop"}) == rows(case.verdict(), {"shop"})
