"""The scout is a pod like the gateway's that Gateways select, and nothing that brings traffic does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.upgrade.scout import (
    ROLES,
    Scouting,
    Selecting,
    Selectors,
    choose_role,
    scout_deployment,
    scout_name,
    targets,
    unbindable,
    why_not,
)
from tests.unit.engine.upgrade.gateway_chart import workload

SCOUTING = Scouting("istio-ingress", "1-31", "ann@laptop/7-1", "live-account")
LIVE = {"app": "istio-ingress", "istio": "ingress", "service.istio.io/canonical-name": "istio-ingress"}


def gateways(*selectors: dict[str, str]) -> Selectors:
    return Selectors(tuple(Selecting(f"Gateway shop/g{number}", one) for number, one in enumerate(selectors)))


def services(*selectors: dict[str, str]) -> Selectors:
    return Selectors(services=tuple(Selecting(f"Service istio-ingress/s{number}", one) for number, one in enumerate(selectors)))


def test_the_scout_is_like_the_gateway_with_another_label() -> None:
    manifest = workload()
    # Whether the chart writes it or not.
    del manifest["spec"]["template"]["metadata"]["labels"]["istio.io/rev"]
    made = scout_deployment(manifest, "app", SCOUTING)
    assert (made["kind"], made["metadata"]["namespace"], made["metadata"]["name"]) == ("Deployment", "istio-ingress", "istio-ingress-scout")
    template = made["spec"]["template"]
    assert made["spec"]["selector"] == {"matchLabels": {"app": "istio-ingress-scout", "istio": "ingress"}}
    assert made["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert template["metadata"]["labels"]["istio.io/rev"] == "1-31"
    assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "true"
    assert template["metadata"]["annotations"]["inject.istio.io/templates"] == "gateway"
    assert template["spec"]["serviceAccountName"] == "live-account"
    assert made["spec"]["replicas"] == 1
    # What counts the pods of a release goes by it.
    assert template["metadata"]["labels"]["app.kubernetes.io/instance"] == "istio-ingress"
    assert "minReadySeconds" not in made["spec"]


def test_it_is_marked_as_ours_and_as_this_runs() -> None:
    made = scout_deployment(workload(), "app", SCOUTING)
    for metadata in (made["metadata"], made["spec"]["template"]["metadata"]):
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "meshinstall"
        assert metadata["labels"]["meshinstall.dev/scout"] == "istio-ingress"
    assert made["metadata"]["annotations"] == {"meshinstall.dev/holder": "ann@laptop/7-1"}
    # Neither helm nor what looks for what helm lost takes it for its own.
    assert "app.kubernetes.io/part-of" not in made["metadata"]["labels"]
    assert "helm.sh/chart" not in made["spec"]["template"]["metadata"]["labels"]


def test_it_waits_for_no_other_pod_and_pushes_none_off() -> None:
    near = {"nodeAffinity": {"x": 1}, "podAntiAffinity": {"y": 1}}
    spec: dict[str, Any] = {
        "affinity": near,
        "topologySpreadConstraints": [{}],
        "priorityClassName": "high",
        "nodeSelector": {"pool": "edge"},
    }
    pod = scout_deployment(workload(**spec), "app", SCOUTING)["spec"]["template"]["spec"]
    assert pod["affinity"] == {"nodeAffinity": {"x": 1}}
    assert pod["nodeSelector"] == {"pool": "edge"}
    assert {"topologySpreadConstraints", "priorityClassName"}.isdisjoint(pod)
    assert pod["terminationGracePeriodSeconds"] == 0
    assert "lifecycle" not in pod["containers"][0]
    assert "affinity" not in scout_deployment(workload(affinity={"podAntiAffinity": {}}), "app", SCOUTING)["spec"]["template"]["spec"]


def test_it_takes_no_port_of_a_node() -> None:
    ports = [{"containerPort": 80, "hostPort": 80}]
    pod = scout_deployment(workload(containers=[{"name": "istio-proxy", "ports": ports}]), "app", SCOUTING)["spec"]["template"]["spec"]
    assert pod["containers"][0]["ports"] == [{"containerPort": 80}]
    assert "network of their nodes" in why_not(workload(hostNetwork=True))
    assert why_not(workload()) == ""


def test_a_daemon_set_has_a_scout_of_one_pod() -> None:
    made = scout_deployment(workload(kind="DaemonSet"), "app", SCOUTING)
    assert (made["kind"], made["spec"]["replicas"]) == ("Deployment", 1)


@given(st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=63).filter(lambda one: not one.startswith("-")))
def test_its_name_is_a_label(name: str) -> None:
    made = scout_name(name)
    assert len(made) <= 63
    assert made.endswith("-scout")
    assert made != name


def test_long_names_stay_apart() -> None:
    assert scout_name("a" * 62 + "b") != scout_name("a" * 62 + "c")


def test_gateways_that_select_by_istio_leave_the_label_app_to_it() -> None:
    assert choose_role(workload(), LIVE, gateways({"istio": "ingress"}, {}, {"istio": "other", "app": "other"})) == ("app", "")


def test_gateways_that_select_by_app_swap_the_roles() -> None:
    role, _ = choose_role(workload(), LIVE, gateways({"app": "istio-ingress"}))
    assert role == "istio"
    labels = scout_deployment(workload(), role, SCOUTING)["spec"]["template"]["metadata"]["labels"]
    assert (labels["app"], labels["istio"]) == ("istio-ingress", "istio-ingress-scout")


@pytest.mark.parametrize("selectors", [({"app": "istio-ingress", "istio": "ingress"},), ({"app": "istio-ingress"}, {"istio": "ingress"})])
def test_gateways_that_select_by_both_leave_none(selectors: tuple[dict[str, str], ...]) -> None:
    role, why = choose_role(workload(), LIVE, gateways(*selectors))
    assert role == ""
    assert "selects by the label app" in why
    assert "selects by the label istio" in why


def test_a_service_that_would_send_it_traffic_is_avoided_or_named() -> None:
    assert choose_role(workload(), LIVE, services({"istio": "ingress"})) == ("istio", "")
    assert choose_role(workload(), LIVE, services({"app": "istio-ingress", "istio": "ingress"}, {})) == ("app", "")
    role, why = choose_role(workload(), LIVE, services({"service.istio.io/canonical-name": "istio-ingress"}))
    assert role == ""
    assert "it would get traffic of Service istio-ingress/s0" in why


def test_a_label_that_the_deployment_does_not_select_by_is_no_role() -> None:
    manifest = workload()
    del manifest["spec"]["selector"]["matchLabels"]["app"]
    assert choose_role(manifest, LIVE, Selectors()) == ("istio", "")


_LABELS = st.dictionaries(st.sampled_from(["app", "istio", "x"]), st.sampled_from(["istio-ingress", "ingress", "y"]))


@given(st.lists(_LABELS, max_size=4), st.lists(_LABELS, max_size=4))
def test_a_scout_has_every_gateway_of_the_live_one_and_no_service(selecting: list[dict[str, str]], sending: list[dict[str, str]]) -> None:
    around = Selectors(gateways(*selecting).gateways, services(*sending).services)
    live = {"app": "istio-ingress", "istio": "ingress", "x": "y"}
    manifest = workload()
    manifest["spec"]["template"]["metadata"]["labels"]["x"] = "y"
    role, why = choose_role(manifest, live, around)
    assert bool(role) is not bool(why)
    if role:
        labels = scout_deployment(manifest, role, SCOUTING)["spec"]["template"]["metadata"]["labels"]
        assert all(one.takes(labels) for one in around.gateways if one.takes(live))
        assert not any(one.takes(labels) for one in around.services if one.labels)
        # What selects by both, as the gateway's own Service, autoscaler and budget do, does not select it.
        assert any(labels[one] != live[one] for one in ROLES)


def test_ports_of_a_service_that_lead_to_other_ports() -> None:
    assert targets([(80, 8080), (443, 443), (81, 8080)]) == {8080: frozenset({80, 81}), 443: frozenset({443})}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, set()),
        ({"securityContext": {"runAsNonRoot": True}}, {8080}),
        ({"securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "81"}]}}, {8080}),
        ({"containers": [{"name": "istio-proxy", "env": [{"name": "ISTIO_META_UNPRIVILEGED_POD", "value": "true"}]}]}, {8080}),
    ],
)
def test_low_ports_that_the_pod_may_not_listen_on(spec: dict[str, Any], found: set[int]) -> None:
    ports = targets([(80, 8080), (443, 443), (9000, 9001)])
    assert unbindable(workload(**spec), ports) == found
