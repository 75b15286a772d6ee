"""What somebody else made and what opens more than the files of an environment: named in the plan, and left."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.policies.foreign import Foreign, wider
from meshinstall.engine.gates.foreign import foreign_policies
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.finding import Severity
from meshinstall.model.identity import IdentityKind, IdentityProvider, Tokens
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import LayerKind, Origin
from tests.fake_kube import forbidden
from tests.unit.engine.test_layered import OURS, cluster, planned, policy, told, wanting

pytestmark = pytest.mark.anyio

KUBECTL = [{"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:spec": {"f:rules": {}}}}]
RULES: dict[str, Any] = {"rules": [{}]}
TOKEN = {"rules": [{"from": [{"source": {"requestPrincipals": ["*"]}}]}]}
WEB, PAY = ({"selector": {"matchLabels": {"app": app}}} for app in ("web", "pay"))


def reader(issuer: str, name: str = "tokens", **rule: Any) -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"jwtRules": [{"issuer": issuer, **rule}]},
    }


def peers(name: str, namespace: str, spec: Any) -> dict[str, Any]:
    """A PeerAuthentication."""
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


def patching(operation: str, filter_name: str = "envoy.filters.http.rbac", kind: str = "HTTP_FILTER", **spec: Any) -> dict[str, Any]:
    """An EnvoyFilter of somebody else."""
    match = {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": {"subFilter": {"name": filter_name}}}}}
    patch = {"applyTo": kind, "match": match, "patch": {"operation": operation}}
    metadata = {"name": "lua", "namespace": "shop", "managedFields": KUBECTL}
    spec = {"configPatches": [patch], **spec}
    return {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": metadata, "spec": spec}


async def found(desired: Desired, *there: Any) -> list[tuple[str, str]]:
    """Code and object of what the plan says of these objects in the cluster."""
    world = cluster()
    for one in there:
        world.kube.put(one)
    plan = await planned(world, desired)
    return [(one.code, one.object) for code in ("PRE052", "PRE053", "PRE060") for one in told(plan, code)]


async def test_an_allow_beside_one_of_the_files_is_named_with_who_made_it() -> None:
    world = cluster()
    world.kube.put(policy("hole", RULES, managedFields=KUBECTL))
    plan = await planned(world, wanting(policy()))
    (finding,) = told(plan, "PRE052")
    assert finding.title == (
        "AuthorizationPolicy shop/hole allows more than the files of this environment: manager kubectl-create (Update) made it,"
        " and ALLOWs for one workload add up"
    )
    assert finding.detail == "beside AuthorizationPolicy shop/web"
    assert not [step for step in plan.steps if step.name == "AuthorizationPolicy/shop/hole"]


@pytest.mark.parametrize(
    ("other", "is_wider"),
    [
        (policy("hole", RULES), True),
        (policy("hole", {**RULES, **WEB}), True),
        (policy("hole", {**RULES, **PAY}), False),
        (policy("hole", RULES, namespace="istio-system"), True),
        (policy("hole", RULES, namespace="other"), False),
        (policy("hole", {}), False),
        (policy("hole", {**RULES, "action": "DENY"}), False),
        (policy("hole", RULES, annotations={"istio.io/dry-run": "true"}), False),
        (policy("hole", RULES, annotations={"istio.io/dry-run": "false"}), True),
        (policy("hole", RULES, labels=OURS), False),
    ],
)
async def test_only_what_lets_more_in_for_a_workload_of_the_files(other: Any, *, is_wider: bool) -> None:
    name = f"AuthorizationPolicy {other['metadata']['namespace']}/hole"
    assert await found(wanting(policy(spec={**RULES, **WEB})), other) == ([("PRE052", name)] if is_wider else [])


async def test_an_allow_narrows_where_no_file_allows() -> None:
    assert await found(wanting(policy(spec={**RULES, "action": "DENY"})), policy("hole", RULES)) == []
    assert await found(wanting(policy(annotations={"istio.io/dry-run": "true"})), policy("hole", RULES)) == []


async def test_an_issuer_that_no_file_names_is_named() -> None:
    named = [("PRE053", "RequestAuthentication shop/other")]
    assert await found(wanting(policy(spec=TOKEN)), reader("https://evil.example.com", "other")) == named
    assert await found(wanting(reader("https://a.example.com")), reader("https://evil.example.com", "other")) == named
    assert await found(wanting(reader("https://a.example.com")), reader("https://a.example.com", "other")) == []
    assert await found(wanting(policy()), reader("https://evil.example.com", "other")) == []


async def test_an_identity_provider_of_the_environment_is_nobodys_surprise() -> None:
    where = Origin(LayerKind.PROJECT, "meshinstall.yaml", 3)
    keys, issuer = "https://a.example.com/keys", "https://a.example.com"
    known = IdentityProvider("staff", IdentityKind.GENERIC, issuer, keys, ("web",), Tokens.ACCESS, has_subject=True, origin=where)
    desired = replace(wanting(policy(spec=TOKEN)), identity=(known,))
    assert await found(desired, reader(issuer, "other", audiences=["web"])) == []
    assert await found(desired, reader(issuer, "other", audiences=["web"], jwksUri=keys)) == []
    for more in ({}, {"audiences": ["web", "pay"]}, {"audiences": ["web"], "jwksUri": "https://evil.example.com"}):
        assert await found(desired, reader(issuer, "other", **more)) == [("PRE053", "RequestAuthentication shop/other")]


@pytest.mark.parametrize(
    ("rule", "accepts"),
    [
        ({"jwksUri": "https://b.example.com/keys"}, "of https://a.example.com that other keys sign (https://b.example.com/keys)"),
        ({"jwks": '{"keys": []}'}, "of https://a.example.com that other keys sign (written in it: {"),
        ({"audiences": ["pay"]}, "of https://a.example.com for pay"),
        ({}, "of https://a.example.com for any service"),
        ({"issuer": "", "jwksUri": "https://b.example.com/keys"}, "of any issuer that its keys sign"),
    ],
)
async def test_a_rule_of_somebody_else_adds_keys_and_audiences_to_an_issuer_of_ours(rule: dict[str, Any], accepts: str) -> None:
    ours = PolicyObject("", reader("https://a.example.com", jwksUri="https://a.example.com/keys", audiences=["web"]), {})
    theirs = PolicyObject("", reader(**{"issuer": "https://a.example.com", "name": "other", **rule}), {})
    (finding,) = wider([ours], [Foreign(theirs, "kubectl")], (), "istio-system")
    assert finding.title.startswith(f"RequestAuthentication shop/other accepts tokens that no file of this environment does: {accepts}")


@pytest.mark.parametrize(
    ("other", "is_named"),
    [
        (patching("REMOVE"), True),
        (patching("MERGE", "envoy.filters.http.jwt_authn"), True),
        (patching("ADD", "x", "FILTER_CHAIN"), True),
        (patching("INSERT_BEFORE"), False),
        (patching("MERGE", "envoy.filters.http.router"), False),
        (patching("REMOVE", workloadSelector={"labels": {"app": "web"}}), True),
        (patching("REMOVE", workloadSelector={"labels": {"app": "pay"}}), False),
    ],
)
async def test_a_patch_of_what_enforces_policies_is_named(other: Any, *, is_named: bool) -> None:
    assert await found(wanting(policy(spec={**RULES, **WEB})), other) == ([("PRE060", "EnvoyFilter shop/lua")] if is_named else [])


async def test_verify_names_a_patch_with_who_made_it() -> None:
    world = cluster()
    world.kube.put(patching("REMOVE"))
    (finding,) = await foreign_policies(wanting(policy()), world.session())
    assert finding.title == (
        "EnvoyFilter shop/lua may let in what policies refuse: manager kubectl-create (Update) made it, and it changes"
        " filters.http.rbac (REMOVE)"
    )


async def test_names_of_others_never_reach_a_terminal_as_they_are() -> None:
    theirs = PolicyObject("", reader("https://evil\x1b[2J.example.com", "other\x1b]0;"), {})
    (finding,) = wider([PolicyObject("", policy(spec=TOKEN), {})], [Foreign(theirs, "manager x\x1b]0;")], (), "istio-system")
    assert f"{finding.title}{finding.detail}{finding.object}".isprintable()


async def test_without_an_object_in_the_files_none_of_others_is_asked_for() -> None:
    world = cluster()
    world.kube.put(policy("hole", RULES))
    asked = {}
    for name, desired in (("none", wanting()), ("one", wanting(policy()))):
        world.kube.calls.clear()
        await planned(world, desired)
        asked[name] = [one for one in world.kube.calls if one.startswith("LIST") and "authorizationpolicies" in one]
    assert len(asked["one"]) == len(asked["none"]) + 1


async def test_verify_tells_the_same_and_asks_nothing_without_files() -> None:
    world = cluster()
    world.kube.put(policy("hole", RULES))
    assert [one.code for one in await foreign_policies(wanting(policy()), world.session())] == ["PRE052"]
    world.kube.calls.clear()
    assert await foreign_policies(replace(wanting(), policies=()), world.session()) == ()
    assert world.kube.calls == []


@pytest.mark.parametrize(("mode", "codes"), [("PERMISSIVE", ["PRE019"]), ("STRICT", [])])
async def test_verify_names_a_peer_authentication_that_accepts_plaintext_also_without_files(mode: str, codes: list[str]) -> None:
    world = cluster()
    spec = {"selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": mode}}
    world.kube.put(peers("open", "shop", spec))
    ours = peers("default", "istio-system", {"mtls": {"mode": "STRICT"}})
    where = Origin(LayerKind.PROJECT, "meshinstall.yaml", 1)
    strict = replace(wanting(), policies=(Policy(ours, where),))
    found = await foreign_policies(strict, world.session())
    assert [one.code for one in found] == codes
    assert all("shop/open" in one.title for one in found)
    world.kube.refusals["LIST /apis/security.istio.io/v1/peerauthentications"] = forbidden("peerauthentications")
    assert [one.code for one in await foreign_policies(strict, world.session())] == ["PRE020"]


async def test_verify_says_that_it_may_not_look() -> None:
    world = cluster()
    world.kube.put(policy())
    world.kube.refusals["LIST /apis/security.istio.io/v1/authorizationpolicies"] = forbidden("authorizationpolicies")
    (finding,) = await foreign_policies(wanting(policy()), world.session())
    assert (finding.code, finding.severity) == ("PRE051", Severity.WARNING)
