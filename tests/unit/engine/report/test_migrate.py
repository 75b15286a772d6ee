"""``policy migrate`` looks, writes nothing, and says what it could not see."""

from urllib.parse import quote

import pytest

from meshinstall.engine.report.migrate import plan_migration
from meshinstall.model.desired import Desired
from meshinstall.model.migration import Goal, Migration, Readiness
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.unit.engine.mesh.survey_world import WEB, Mesh

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
STATS = f"/stats/prometheus?filter={quote('istio_requests_total|istio_tcp_connections_opened_total', safe='')}"
LABELS = 'reporter="destination",source_workload="unknown",connection_security_policy="none"'


async def asked(there: Mesh, desired: Desired = DESIRED) -> Migration:
    return await plan_migration(desired, there.session(), 7)


def reasons(found: Migration, goal: Goal) -> str:
    (one,) = [one for one in found.steps if (one.namespace, one.goal) == ("shop", goal)]
    return f"{one.readiness}: {'; '.join(one.reasons)}"


async def test_it_reads_alone_and_without_a_prometheus_nothing_is_ready() -> None:
    there = Mesh()
    found = await asked(there)
    assert Readiness.READY not in [one.readiness for one in found.steps]
    assert "no running pod has the label app.kubernetes.io/name=prometheus" in reasons(found, Goal.DENY)
    assert {call.partition(" ")[0] for call in there.kube.calls} <= {"GET", "LIST"}
    assert (found.files, found.baseline) == ({}, ())


async def test_what_a_proxy_counts_is_named() -> None:
    there = Mesh()
    there.pods.answers[(*WEB, 15000, STATS)] = f"istio_requests_total{{{LABELS}}} 7\n".encode()
    assert "receives plaintext from somebody without a proxy (about 7)" in reasons(await asked(there), Goal.STRICT)


async def test_policies_that_may_not_be_listed_are_told() -> None:
    there = Mesh()
    there.kube.objects["/apis/security.istio.io/v1"]["resources"].append({"name": "authorizationpolicies"})
    there.kube.refusals["LIST /apis/security.istio.io/v1/authorizationpolicies"] = forbidden("list authorizationpolicies")
    assert "AuthorizationPolicies could not be listed" in reasons(await asked(there), Goal.DENY)
