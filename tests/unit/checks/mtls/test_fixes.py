"""What mends a finding, where the first thing that comes to mind would not."""

from collections.abc import Mapping
from typing import Any

import pytest

from meshinstall.model.verdict import Outcome
from tests.cases import verdicts

_PLANE = {"version": "1.31.0", "root_namespace": "istio-system", "trust_domain": "cluster.local"}
_OLD, _NEW = ({f"istio-system/istiod-{name}": {"revision": name, **_PLANE}} for name in ("1-30", "1-31"))
_WITHOUT_PROXY: Mapping[str, Any] = {"pods": {"shop/web-2": {"dataplane": "none"}}, "proxies": {"shop/web-2": None}}
_NO_DEFAULT = {"istio-system/istiod": None}


def hint(code: str, **facts: Any) -> str:
    """The hint of the one finding with this code, of a mesh that differs by ``facts`` from one that passes."""
    (found,) = (one.hint for one in verdicts.make({"facts": facts}).verdict().findings if one.code == code)
    return found


@pytest.mark.parametrize(
    ("labels", "planes", "command"),
    [
        ({"istio-injection": "enabled"}, {}, ""),
        ({"istio-injection": "enabled"}, _NO_DEFAULT | _NEW, "istio.io/rev=1-31 istio-injection-"),
        ({"istio.io/rev": "1-31"}, _NEW, ""),
        ({"istio.io/rev": "stable"}, _NO_DEFAULT | _OLD, "istio.io/rev=1-30"),
        ({"istio.io/rev": "stable"}, {}, "istio-injection=enabled istio.io/rev-"),
        ({"istio-injection": "enabled", "istio.io/rev": "1-31"}, _NEW, "istio.io/rev=1-31 istio-injection-"),
        ({"istio-injection": "enabled", "istio.io/rev": "stable"}, {}, "istio-injection=enabled istio.io/rev-"),
        ({"istio-injection": "disabled", "istio.io/rev": "1-31"}, _NEW, "istio.io/rev=1-31 istio-injection-"),
        ({"istio-injection": "disabled"}, {}, "istio-injection=enabled"),
        ({}, _NO_DEFAULT | _NEW, "istio.io/rev=1-31"),
    ],
)
def test_a_namespace_is_labelled_for_a_control_plane_that_is_there(
    labels: Mapping[str, str], planes: Mapping[str, Any], command: str
) -> None:
    spaces = {"shop": {"labels": {"istio-injection": None, **labels}}}
    told = hint("MTL020", namespaces=spaces, control_planes=planes, **_WITHOUT_PROXY)
    *before, restart = (line.partition("  #")[0] for line in told.splitlines())
    assert before == ([f"kubectl label namespace shop {command} --overwrite"] if command else [])
    assert restart == "kubectl rollout restart -n shop deployment/web"


def test_a_label_that_may_name_a_tag_is_not_called_wrong() -> None:
    spaces = {"shop": {"labels": {"istio-injection": None, "istio.io/rev": "stable"}}}
    told = hint("MTL020", namespaces=spaces, **_WITHOUT_PROXY)
    assert "# not needed if stable is a revision tag (istioctl tag list)" in told


def test_a_pods_log_is_asked_for_by_its_whole_name() -> None:
    pods = {"shop/api.v2-0": {"workload": "StatefulSet api.v2", "dataplane": "sidecar", "ip": "10.0.1.9"}}
    told = hint("MTL032", pods=pods, proxies={"shop/api.v2-0": {"problem": "no answer in 5 s"}})
    assert told == "kubectl logs -n shop api.v2-0 -c istio-proxy --tail=50"


def test_the_policy_that_counts_for_the_mesh_is_mended_and_none_beside_it() -> None:
    """Another with a selector counts for nothing there, and the older of two without one decides."""
    policies = {
        "istio-system/default": {"created": "2026-03-01T00:00:00Z", "mode": "STRICT"},
        "istio-system/base": {"created": "2026-02-01T00:00:00Z", "mode": "UNSET"},
        "istio-system/web": {"created": "2026-01-01T00:00:00Z", "mode": "STRICT", "selector": {"app": "web"}},
    }
    mended = """kubectl patch peerauthentication base -n istio-system --type merge -p '{"spec":{"mtls":{"mode":"STRICT"}}}'"""
    assert hint("MTL001", policies=policies).splitlines()[-1] == mended


@pytest.mark.parametrize(
    ("annotations", "removed"),
    [
        ({"traffic.sidecar.istio.io/excludeInterfaces": "eth0"}, "traffic.sidecar.istio.io/excludeInterfaces"),
        ({"traffic.sidecar.istio.io/includeInboundPorts": ""}, "traffic.sidecar.istio.io/includeInboundPorts"),
        ({"sidecar.istio.io/interceptionMode": "NONE"}, "sidecar.istio.io/interceptionMode"),
    ],
)
def test_the_annotations_that_take_traffic_past_the_proxy_are_removed(annotations: Mapping[str, str], removed: str) -> None:
    # As istio-cni's webhook writes them on every pod.
    usual = {"traffic.sidecar.istio.io/excludeInboundPorts": "15020", "traffic.sidecar.istio.io/includeInboundPorts": "*"}
    told = hint("MTL022", pods={"shop/api-0": {"captured": False, "annotations": {**usual, **annotations}}})
    (line,) = told.splitlines()
    patch = f"""'{{"spec":{{"template":{{"metadata":{{"annotations":{{"{removed}":null}}}}}}}}}}'"""
    assert line.partition("  #")[0] == f"kubectl patch statefulset/api -n shop --type merge -p {patch}"


def test_where_no_annotation_takes_traffic_past_the_proxy_istiods_values_do() -> None:
    told = hint("MTL022", pods={"shop/api-0": {"captured": False, "annotations": {"sidecar.istio.io/interceptionMode": "REDIRECT"}}})
    assert "patch" not in told
    assert "global.proxy.includeInboundPorts" in told
    assert told.endswith("kubectl rollout restart -n shop statefulset/api")


def test_roots_that_are_not_there_are_not_deleted() -> None:
    told = hint("MTL047", namespaces={"shop": {"roots": []}})
    assert told.startswith("kubectl logs -n istio-system deployment/istiod --tail=50  # ")
    assert "discoverySelectors" in told
    assert "delete" not in told


def test_a_pod_without_an_owner_that_opts_out_is_created_again() -> None:
    """A change of its labels has no effect: they are read when it is created."""
    labels = {"sidecar.istio.io/inject": "false"}
    told = hint("MTL020", pods={"shop/tool": {"workload": "Pod tool", "dataplane": "none", "ip": "10.0.1.9", "labels": labels}})
    line = next(line for line in told.splitlines() if not line.startswith("#"))
    assert line.startswith(
        "kubectl get pod/tool -n shop -o yaml  # save it, remove sidecar.istio.io/inject, istio.io/dataplane-mode, then: "
    )
    assert line.endswith("then: kubectl replace --force -f FILE")
    assert "kubectl edit" not in told


FORBIDDEN, SILENT = {"problem": "no permission for pods/portforward in shop"}, {"problem": "no answer in 5 s"}


@pytest.mark.parametrize(
    ("proxies", "command"),
    [
        ({"shop/api-0": FORBIDDEN}, "kubectl auth can-i create pods/portforward -n shop"),
        ({"shop/api-0": SILENT}, "kubectl logs -n shop api-0 -c istio-proxy --tail=50"),
        ({"shop/web-1": FORBIDDEN, "shop/web-2": SILENT}, "kubectl logs -n shop web-1 -c istio-proxy --tail=50"),
    ],
)
def test_a_log_is_asked_for_unless_the_account_may_not_ask_the_proxy(proxies: Mapping[str, Any], command: str) -> None:
    assert hint("MTL032", proxies=proxies).partition("  #")[0] == command


def test_all_missing_permissions_are_named_at_once() -> None:
    told = hint("MTL006", unread=["PeerAuthentication", "Deployment", "MeshConfig", "Node"])
    assert told.splitlines()[1:] == [
        "kubectl auth can-i list peerauthentications.security.istio.io -A",
        "kubectl auth can-i list deployments.apps -A",
        "kubectl auth can-i get configmaps -n istio-system",
    ]
    without_plane = hint("MTL006", control_planes={"istio-system/istiod": None})
    assert without_plane.endswith("what this account may do: kubectl auth can-i --list")


def test_a_mode_that_was_not_read_is_not_told() -> None:
    proxies = {"shop/api-0": {"inbound": "permissive"}}
    case = verdicts.make({"facts": {"unread": ["PeerAuthentication"], "policies": {"istio-system/default": None}, "proxies": proxies}})
    verdict = case.verdict()
    assert {port.mode for port in verdict.ports} == {""}
    assert {one.code for port in verdict.ports for one in port.evidence if one.outcome is not Outcome.PASS} == {"MTL006", "MTL009"}
    assert {port.workload: port.outcome for port in verdict.ports if port.namespace == "shop"} == {
        "StatefulSet api": Outcome.FAIL,
        "Deployment web": Outcome.NOT_PROVEN,
    }
