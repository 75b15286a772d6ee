"""policies of meshinstall.yaml: deny by default in the namespaces that it names, with an allow for the gateways."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from meshinstall.errors import ConfigError
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Policy
from meshinstall.model.ownership import SOURCE
from tests.unit.config.projects import HEAD, resolved

Write = Callable[[Mapping[str, str]], Path]

BASELINE = f"{HEAD}policies: {{baseline: deny-by-default, namespaces: [shop]}}\n"
ACCOUNT = "cluster.local/ns/istio-ingress/sa/istio-ingress"


def policies(write: Write, files: Mapping[str, str], **request: object) -> dict[str, Policy]:
    """The policies, by namespace and name."""
    found = resolved(write(files), **request).layered
    assert found is not None
    return {"/".join(one.manifest["metadata"][name] for name in ("namespace", "name")): one for one in found}


def principals(policy: Policy) -> list[str]:
    return [one for rule in policy.manifest["spec"]["rules"] for each in rule["from"] for one in each["source"]["principals"]]


def refused(write: Write, files: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(write(files))
    return caught.value.message.splitlines()


def test_nobody_may_call_but_the_gateways(write: Write) -> None:
    found = policies(write, {"meshinstall.yaml": BASELINE})
    assert list(found) == ["shop/meshinstall-allow-gateways", "shop/meshinstall-deny-by-default"]
    nothing = found["shop/meshinstall-deny-by-default"]
    assert nothing.manifest["spec"] == {}
    assert nothing.manifest["metadata"]["annotations"] == {SOURCE: "meshinstall.yaml"}
    assert str(nothing.origin) == "meshinstall.yaml:2"
    assert principals(found["shop/meshinstall-allow-gateways"]) == [ACCOUNT]


@pytest.mark.parametrize(
    ("values", "account"),
    [
        ("{serviceAccount: {name: edge}}", "cluster.local/ns/istio-ingress/sa/edge"),
        ("{serviceAccount: {create: false}}", "cluster.local/ns/istio-ingress/sa/default"),
        ("{name: edge}", "cluster.local/ns/istio-ingress/sa/edge"),
        ("{global: {serviceAccount: {name: edge}}}", "cluster.local/ns/istio-ingress/sa/edge"),
    ],
)
def test_a_gateway_is_known_by_the_service_account_that_its_values_name(write: Write, values: str, account: str) -> None:
    text = f"{BASELINE}environments: {{dev: {{cloud: local, values: {{istio-ingress: {values}}}}}}}\n"
    assert principals(policies(write, {"meshinstall.yaml": text})["shop/meshinstall-allow-gateways"]) == [account]


def test_without_a_gateway_nobody_may_call(write: Write) -> None:
    assert list(policies(write, {"meshinstall.yaml": BASELINE}, profile="minimal")) == ["shop/meshinstall-deny-by-default"]


def test_the_nearest_place_counts_for_each_key(write: Write) -> None:
    text = f"{BASELINE}environments:\n  dev: {{cloud: local, policies: {{namespaces: [pay]}}}}\n"
    text += "  prod: {clouds: {eks: {cluster: {name: a}, policies: {baseline: none}}}}\n"
    found = policies(write, {"meshinstall.yaml": text})
    assert [str(one.origin) for one in found.values()] == ["meshinstall.yaml:4", "meshinstall.yaml:4"]
    assert resolved(write({}), environment="prod", cloud=Cloud.EKS).layered == ()


def test_a_file_patches_the_baseline(write: Write) -> None:
    patch = "patch: {kind: AuthorizationPolicy, namespace: shop, name: meshinstall-allow-gateways}\noperations:\n"
    patch += f"  - {{op: test, path: /spec/rules/0/from/0/source/principals/0, value: {ACCOUNT}}}\n"
    patch += "  - {op: add, path: /spec/rules/0/to, value: [{operation: {ports: ['8080']}}]}\n"
    found = policies(write, {"meshinstall.yaml": BASELINE, "policies/base/a.yaml": patch})["shop/meshinstall-allow-gateways"]
    assert found.manifest["spec"]["rules"][0]["to"] == [{"operation": {"ports": ["8080"]}}]
    assert found.manifest["metadata"]["annotations"] == {SOURCE: "meshinstall.yaml, policies/base/a.yaml"}


def test_a_file_removes_what_the_baseline_allows(write: Write) -> None:
    gone = "remove: {kind: AuthorizationPolicy, namespace: shop, name: meshinstall-allow-gateways}\n"
    found = policies(write, {"meshinstall.yaml": BASELINE, "policies/envs/dev/a.yaml": gone})
    assert list(found) == ["shop/meshinstall-deny-by-default"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{baseline: deny-by-default}", "meshinstall.yaml:2:12: policies.baseline has no namespaces"),
        ("{baseline: deny-by-default, namespaces: [istio-ingress]}", "istio-ingress is a namespace of the mesh itself"),
        ("{baseline: deny-by-default, namespaces: [istio-system]}", "istio-system is a namespace of the mesh itself"),
        ("{baseline: deny-by-default, namespaces: [shop, shop]}", "must be at most 500 different names"),
        ("{baseline: deny-by-default, namespaces: ['team-*']}", "'team-*' is not a valid name of a namespace"),
        ("{baseline: deny}", "policies.baseline must be 'none' or 'deny-by-default'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(write: Write, written: str, said: str) -> None:
    (problem,) = refused(write, {"meshinstall.yaml": f"{HEAD}policies: {written}\n"})
    assert problem.startswith("meshinstall.yaml:2:")
    assert said in problem
