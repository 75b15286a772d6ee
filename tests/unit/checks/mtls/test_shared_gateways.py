"""A gateway whose pod has other containers: on a port where its proxy does not listen, one of them may answer."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.mtls.judge import judge
from meshinstall.model.clients import Outlook
from meshinstall.model.mesh import Place, Port
from meshinstall.model.verdict import Outcome
from meshinstall.model.wire import Probing
from tests.cases import verdicts

EDGE = Place("istio-ingress", "public-1")


@pytest.mark.parametrize(
    ("shared", "listens", "outcome"),
    [
        (True, {("0.0.0.0", 8080)}, Outcome.PASS),  # noqa: S104 - nothing is bound here
        (True, {("0.0.0.0", 443)}, Outcome.NOT_PROVEN),  # noqa: S104
        (True, None, Outcome.NOT_PROVEN),
        (False, {("0.0.0.0", 443)}, Outcome.PASS),  # noqa: S104
    ],
)
def test_a_port_where_its_proxy_does_not_listen_does_not_pass(listens: Any, outcome: Outcome, *, shared: bool) -> None:
    found = verdicts.make({"facts": {"clients": {}}}).facts
    assert found.clients
    pods = tuple(replace(one, shared=shared, ports=(Port(8080),)) if one.place == EDGE else one for one in found.pods)
    told = Outlook(listens=None if listens is None else frozenset(listens))
    groups = tuple(
        replace(one, outlook=replace(told, clusters=one.outlook.clusters)) if EDGE in one.pods else one for one in found.clients.groups
    )
    verdict = judge(replace(found, pods=pods, clients=replace(found.clients, groups=groups)), Probing({}, "not here", ""), "kind-dev")
    (row,) = (one for one in verdict.ports if one.namespace == "istio-ingress" and one.port == 8080)
    assert row.server is outcome
