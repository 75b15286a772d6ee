"""What the API server gives back as it is, whatever is asked for, is nobody's edit; asked by dry run, and only where something differs."""

from typing import Any

import pytest

from meshinstall.engine.observe.admission import with_admission
from meshinstall.errors import ClusterError
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.finding import Severity
from meshinstall.model.paths import path_of
from meshinstall.model.plan import Action
from tests.cases import plans
from tests.fake_kube import FakeKube
from tests.unit.engine.installed import ISTIOD, POLICY, POLICY_KEY, POLICY_PATH

pytestmark = pytest.mark.anyio

DEPLOYMENT = plans.make({}).facts.owned[ISTIOD][0]
PATH = path_of(key_of(DEPLOYMENT))
IMAGE = {"live": {"deployment": {"spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": "mirror/i"}]}}}}}}


class Mutating(FakeKube):
    """A cluster whose admission policy gives every Deployment an image of a mirror, and every policy this mode."""

    mode = ""

    async def patch(self, path: str, body: Any, *, dry_run: bool = False) -> Any:
        """Patch, then change what was made."""
        assert dry_run
        answer = await super().patch(path, body, dry_run=True)
        if path == PATH:
            answer["spec"]["template"]["spec"]["containers"][0]["image"] = "mirror/i"
        if path == POLICY_PATH and self.mode:
            answer["spec"]["mtls"]["mode"] = self.mode
        return answer


def there(kube: FakeKube, case: plans.Case) -> FakeKube:
    kube.put(*case.facts.live.values(), *(policy for policy in case.facts.policies.values() if policy))
    return kube


async def seen(kube: FakeKube, differs: dict[str, Any]) -> tuple[plans.Case, Facts]:
    case = plans.make({"facts": differs})
    return case, await with_admission(case.desired, case.facts, there(kube, case))


async def test_nothing_is_asked_where_nothing_differs() -> None:
    kube = FakeKube()
    case, facts = await seen(kube, {})
    assert kube.calls == []
    assert facts is case.facts


async def test_an_image_that_comes_back_from_a_mirror_is_no_drift() -> None:
    kube = Mutating()
    case, facts = await seen(kube, IMAGE)
    plan = plans.Case(case.desired, facts, case.today).plan()
    assert plan.is_empty
    assert [finding.code for finding in plan.findings if finding.code == "PRE022"] == ["PRE022"]
    assert kube.calls == [f"PATCH {PATH}"]


@pytest.mark.parametrize(
    ("kube", "image"),
    [
        pytest.param(FakeKube(), "mirror/i", id="nothing changes it"),
        pytest.param(Mutating(), "by hand", id="it is changed, but to something else"),
    ],
)
async def test_what_would_change_is_drift(kube: FakeKube, image: str) -> None:
    case, facts = await seen(
        kube, {"live": {"deployment": {"spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": image}]}}}}}}
    )
    assert not plans.Case(case.desired, facts, case.today).plan().is_empty


async def test_where_no_dry_run_may_be_made_it_stays_drift() -> None:
    kube = Mutating()
    kube.refusals[f"PATCH {PATH}"] = ClusterError("a webhook does not support dry run")
    case, facts = await seen(kube, IMAGE)
    assert not plans.Case(case.desired, facts, case.today).plan().is_empty


async def test_what_was_deleted_is_not_asked_about() -> None:
    kube = FakeKube()
    await seen(kube, {"live": {"deployment": None}})
    assert kube.calls == []


async def test_a_policy_that_is_changed_at_admission_is_a_warning_and_no_fight() -> None:
    kube = Mutating()
    kube.mode = "PERMISSIVE"
    case, facts = await seen(kube, {"policies": {"strict": {"spec": {"mtls": {"mode": "PERMISSIVE"}}}}})
    plan = plans.Case(case.desired, facts, case.today).plan()
    assert plan.is_empty
    [finding] = [finding for finding in plan.findings if finding.code == "PRE022"]
    assert finding.severity is Severity.WARNING
    assert finding.detail == 'spec.mtls.mode: "STRICT" → "PERMISSIVE"'


async def test_a_policy_that_somebody_edited_is_drift() -> None:
    case, facts = await seen(Mutating(), {"policies": {"strict": {"spec": {"mtls": {"mode": "PERMISSIVE"}}}}})
    steps = plans.Case(case.desired, facts, case.today).plan().pending
    assert [(step.name, step.action) for step in steps] == [(f"PeerAuthentication/istio-system/{POLICY_KEY.name}", Action.APPLY)]
    assert POLICY["kind"] == "PeerAuthentication"
