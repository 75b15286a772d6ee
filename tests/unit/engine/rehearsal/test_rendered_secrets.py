"""A plan is refused for secrets in what helm renders, with the line of their value and without the secret."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.planning import make_plan, refuse
from meshinstall.errors import PlanRefusedError
from meshinstall.model.desired import Desired, Release
from meshinstall.model.plan import Plan
from meshinstall.model.release import Manifest
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, LayerKind
from tests.cases import plans
from tests.unit.engine.installed import ISTIOD, gateway, world

pytestmark = pytest.mark.anyio

FILE = "values/components/istiod.yaml"
HARMLESS, WORD = "greeting", "hunter22-of-the-mesh"
LOOKS = "what looks like a secret"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBg\n-----END EC PRIVATE KEY-----\n"


def desired(values: Mapping[str, Any]) -> Desired:
    """The mesh, with values of istiod on top, the first on line 1."""
    found = plans.load("fresh").desired
    lines: dict[KeyPath, tuple[int, int]] = {(name,): (at, 1) for at, name in enumerate(values, start=1)}

    def on_top(release: Release) -> Release:
        layers = (*release.values.layers, Layer(LayerKind.PROJECT, FILE, values, lines))
        return replace(release, values=ValuesStack(layers, release.values.unsent)) if release.key == ISTIOD else release

    return replace(found, releases=tuple(map(on_top, found.releases)))


def config(data: Mapping[str, Any], kind: str = "ConfigMap") -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "istio", "namespace": "istio-system"}, "data": data}


def args(words: list[str]) -> Manifest:
    made = gateway("istiod")
    spec = {"containers": [{"name": "discovery", "args": words}]}
    return {**made, "metadata": {"name": "istiod"}, "spec": {**made["spec"], "template": {"spec": spec}}}


async def planned(make: Any, values: Mapping[str, Any]) -> Plan:
    there = world()
    there.helm.renders[ISTIOD] = make
    return await make_plan(desired(values), there.session())


@pytest.mark.parametrize(
    ("make", "value", "title"),
    [
        (lambda said: config({"PASSWORD": said}), WORD, f"{LOOKS} into ConfigMap istio-system/istio"),
        (
            lambda said: config({"mesh": f"a: 1\nclientSecret: {said}\n"}),
            WORD,
            f"{LOOKS} into ConfigMap istio-system/istio",
        ),
        (lambda said: config({"ca": said}), KEY, "a private key into ConfigMap istio-system/istio"),
        (lambda said: config({"x": b64encode(said.encode()).decode()}, "Secret"), WORD, f"{LOOKS} into Secret"),
        (lambda said: args(["discovery", "--password", said]), WORD, f"{LOOKS} into Deployment istio-system/istiod"),
    ],
)
async def test_a_value_that_becomes_a_secret_is_named_with_its_line(make: Any, value: str, title: str) -> None:
    plan = await planned(lambda values: (make(values[HARMLESS]),) if HARMLESS in values else (), {"other": "a", HARMLESS: value})
    (finding,) = [one for one in plan.refusals if one.code == "PRE057"]
    assert finding.title.startswith(f"helm would render {title}")
    assert finding.origin == f"{FILE}:2"
    assert WORD not in f"{plan.findings}"
    assert "MHcCAQEEIBg" not in f"{plan.findings}"
    with pytest.raises(PlanRefusedError, match="PRE057"):
        refuse(plan, frozenset({"refused"}))


async def test_one_secret_in_several_objects_is_one_finding() -> None:
    def make(values: Mapping[str, Any]) -> tuple[Manifest, ...]:
        made = config({"PASSWORD": values.get(HARMLESS, "")})
        return made, {**made, "metadata": {"name": "other"}}

    (finding,) = [one for one in (await planned(make, {HARMLESS: WORD})).refusals if one.code == "PRE057"]
    assert finding.detail == "it is in ConfigMap istio-system/istio, ConfigMap istio-system/other"


async def test_what_the_chart_itself_makes_has_no_line() -> None:
    (finding,) = [one for one in (await planned(lambda _: (config({"PASSWORD": WORD}),), {})).refusals if one.code == "PRE057"]
    assert finding.origin == ""
    assert finding.hint.startswith("no single value makes it")


@pytest.mark.parametrize(
    "made",
    [
        config({"PASSWORD": "$(PASSWORD)", "tokenAudience": "istio-ca", "key.pem": "/etc/certs/key.pem"}),
        config({"root-cert.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}),
        {**config({}), "kind": "Secret"},
        args(["discovery", "--tokenFile", "/var/run/secrets/tokens/istio-token"]),
    ],
)
async def test_references_and_what_is_public_are_none(made: Manifest) -> None:
    assert "PRE057" not in [one.code for one in (await planned(lambda _: (made,), {})).findings]


async def test_a_hundred_of_them_are_told_in_few_words() -> None:
    plan = await planned(lambda _: (config({f"{at}_PASSWORD": f"{WORD}{at}" for at in range(100)}),), {})
    found = [one for one in plan.refusals if one.code == "PRE057"]
    assert len(found) == 11
    assert found[-1].title == "helm would render 90 more secrets"
