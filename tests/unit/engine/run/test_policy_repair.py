"""A policy of ours with a field that somebody added: the field goes, in the version that was planned, and in no other."""

from typing import Any

import pytest

from meshinstall.errors import ConflictError
from meshinstall.model.plan import Plan
from tests.cases import plans
from tests.fakes import World
from tests.unit.engine.installed import POLICY, POLICY_KEY, POLICY_PATH, world
from tests.unit.engine.run.test_runner import ran, stopped

pytestmark = pytest.mark.anyio

VOID = {"mtls": {"mode": "STRICT"}, "selector": {"matchLabels": {"app": "nothing"}}}


def planned(there: World, **metadata: Any) -> Plan:
    """The plan for what is in the cluster: our policy with a selector that somebody added."""
    ours = plans.make({}).facts.policies[POLICY_KEY] or {}
    there.kube.put({**ours, "metadata": {**ours["metadata"], **metadata}, "spec": VOID})
    live = there.kube.objects[POLICY_PATH]
    return plans.make({"facts": {"policies": {"strict": live}}}).plan()


async def test_what_was_added_goes_and_our_labels_stay() -> None:
    there = world()
    await ran(there, planned(there))
    live = there.kube.objects[POLICY_PATH]
    assert live["spec"] == {"mtls": {"mode": "STRICT"}}
    assert live["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "meshinstall"


async def test_what_changed_since_is_planned_again() -> None:
    there = world()
    plan = planned(there)
    there.kube.put({**there.kube.objects[POLICY_PATH], "spec": {"mtls": {"mode": "DISABLE"}}})
    _, error = await stopped(there, plan)
    assert isinstance(error, ConflictError)
    assert error.message == "PeerAuthentication istio-system/default has changed since the plan was made"
    assert error.hint == "run the same command again: it makes a new plan"
    assert there.kube.objects[POLICY_PATH]["spec"] == {"mtls": {"mode": "DISABLE"}}


async def test_nothing_is_taken_out_of_a_policy_of_somebody_else() -> None:
    there = world()
    plan = planned(there, labels={})
    _, error = await stopped(there, plan)
    assert error.hint == "PeerAuthentication istio-system/default was not made by meshinstall: remove it or change it by hand"
    assert there.kube.objects[POLICY_PATH]["spec"] == VOID
    assert POLICY["spec"] != VOID
