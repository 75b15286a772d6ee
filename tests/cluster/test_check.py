"""``meshinstall check`` on a real control plane: each fault is seen by its code, and its end too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.cluster import Cluster
from tests.cluster.mesh import Shell, control_plane, limited_user, namespace, vouching
from tests.cluster.meshinstall_run import Program, client_kubeconfig, meshinstall

pytestmark = pytest.mark.cluster

ADMISSION = "admissionregistration.k8s.io/v1"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    found = meshinstall(own_module_cluster)
    found.up("--profile", "minimal", "--no-verify")
    return found


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    return Shell(own_module_cluster, (build_part("kubectl"),))


def troubles(program: Program, *flags: str) -> dict[str, dict[str, Any]]:
    """Results that are not simply PASS, by code."""
    done = program.run("check", "-o", "json", *flags)
    found = [result for result in json.loads(done.out)["checks"] if result["result"] != "PASS" or result["findings"]]
    outcomes = {result["result"] for result in found}
    assert done.status == (4 if "FAIL" in outcomes else 5 if "NOT PROVEN" in outcomes else 0), done
    return {result["code"]: result for result in found}


def webhook(kind: str, name: str, policy: str) -> dict[str, Any]:
    """A webhook that is called like one of Istio's, trusts nobody in particular and is never asked."""
    client = {"service": {"namespace": "istio-system", "name": "istiod", "path": "/x", "port": 443}}
    never = {"matchLabels": {"never": "asked"}}
    one = {"name": name, "clientConfig": client, "rules": [RULE], "objectSelector": never, "failurePolicy": policy}
    shape = {"sideEffects": "None", "admissionReviewVersions": ["v1"]}
    return {"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": "faulty"}, "webhooks": [{**one, **shape}]}


def peer_authentication(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "istio-system"}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": {"mtls": {"mode": "STRICT"}}}


def kiali() -> dict[str, Any]:
    metadata = {"name": "kiali", "namespace": "default", "labels": {"app": "kiali"}}
    spec = {"type": "NodePort", "selector": {"app": "kiali"}, "ports": [{"port": 20001}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def faults() -> dict[str, tuple[dict[str, Any], str]]:
    """By the code that must name it: an object that is at fault, and words of the finding."""
    both = namespace("both", **{"istio-injection": "enabled", "istio.io/rev": "default"})
    return {
        "CHK003": (webhook("MutatingWebhookConfiguration", "faulty.sidecar-injector.istio.io", "Fail"), "has no caBundle"),
        "CHK004": (webhook("ValidatingWebhookConfiguration", "faulty.validation.istio.io", "Ignore"), "accepts every object"),
        "CHK012": (both, "namespace both has contradictory labels"),
        "CHK013": (namespace("lost", **{"istio.io/rev": "1-29-0"}), "namespace lost asks for revision 1-29-0"),
        "CHK014": (peer_authentication("newer"), "PeerAuthentication istio-system/newer has no effect"),
        "CHK017": (kiali(), "Kiali can be reached from outside"),
    }


def test_a_fresh_control_plane_is_well(program: Program, until_true: Callable[[Callable[[], bool]], None]) -> None:
    # istiod turns its failurePolicy to Fail some seconds after it is ready: until then CHK004 says so.
    until_true(lambda: troubles(program) == {})
    assert "17 PASS of 17 checks." in program.ok("check").out


@pytest.mark.parametrize("code", faults())
def test_a_fault_is_found_by_its_code_and_so_is_its_end(program: Program, shell: Shell, code: str) -> None:
    faulty, words = faults()[code]
    shell.apply(faulty)
    try:
        found = troubles(program)
        assert words in " ".join(finding["title"] for finding in found[code]["findings"])
        # The faulty validator also has no caBundle.
        assert set(found) == ({"CHK003", "CHK004"} if code == "CHK004" else {code})
    finally:
        shell.ok("kubectl", "delete", "-f", "-", given=faulty)
    assert code not in troubles(program)


def test_istiod_that_does_not_answer_is_named_with_the_port(program: Program, shell: Shell) -> None:
    shell.ok("kubectl", "scale", "-n", "istio-system", "deployment/istiod", "--replicas=0")
    shell.ok("kubectl", "wait", "-n", "istio-system", "--for=delete", "pod", "-l", "app=istiod", "--timeout=60s")
    try:
        found = troubles(program)
        assert found["CHK002"]["result"] == "FAIL"
        assert "15017" in found["CHK002"]["findings"][0]["hint"]
    finally:
        shell.ok("kubectl", "scale", "-n", "istio-system", "deployment/istiod", "--replicas=1")
        shell.ok("kubectl", "rollout", "status", "-n", "istio-system", "deployment/istiod", "--timeout=60s")


def test_what_the_caller_may_not_read_is_not_proven(program: Program, shell: Shell, tmp_path: Path) -> None:
    shell.apply(*limited_user("narrow", "mutatingwebhookconfigurations"))
    config = tmp_path / "kubeconfig"
    config.write_text(client_kubeconfig(shell.cluster, "stranger"))
    found = troubles(program, "--kubeconfig", str(config))
    assert set(found) == {"CHK001"}
    assert found["CHK001"]["result"] == "NOT PROVEN"


def test_before_an_install_everything_that_would_stop_it_is_listed(program: Program, shell: Shell) -> None:
    assert "✓ PRE901 helm" in program.ok("check", "--pre").out
    shell.apply(namespace("elsewhere"), control_plane("elsewhere"), *vouching("elsewhere"))
    try:
        done = program.run("check", "--pre", "--profile", "default")
        assert done.status == 2
        done = program.run("check", "--pre")
        assert done.status == 4
        assert "PRE004 the cluster has another control plane" in done.out
    finally:
        shell.ok("kubectl", "delete", "mutatingwebhookconfiguration", "istio-sidecar-injector-elsewhere")
        shell.ok("kubectl", "delete", "namespace", "elsewhere", "--wait=false")
