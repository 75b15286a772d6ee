"""Live objects that somebody edited: the plan says what and by whom, ``up`` puts it back, with Helm 4 and Helm 3."""

import json
import re
from typing import Any

import pytest

from testbed import pins
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"
_IMAGE = r'spec\.template\.spec\.containers\[discovery\]\.image: "[^"]+" → "[^"]+"'
_DISCOVERY = r"spec\.template\.spec\.containers\[discovery\]"
# The same for either Helm.
_NO_HELM_RUNS = pytest.mark.parametrize("helm", ["helm4"], indirect=True)
_WHEN = r"\(Update, 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\)"


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, helm: str) -> Program:
    """Meshinstall, with a control plane that this Helm installed."""
    found = meshinstall(own_module_cluster, helm).having("--profile", "minimal")
    found.ok("down", "--crds", "--yes")
    found.up()
    return found


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            ("set", "image", "deployment/istiod", "-n", _SYSTEM, f"discovery={pins.APP_IMAGE}"),
            rf"Deployment istio-system/istiod was edited by kubectl-set {_WHEN}: {_IMAGE}",
        ),
        (
            ("delete", "mutatingwebhookconfiguration", "istio-sidecar-injector"),
            "MutatingWebhookConfiguration istio-sidecar-injector was deleted",
        ),
        (
            ("delete", "validatingwebhookconfiguration", "istio-validator-istio-system"),
            "ValidatingWebhookConfiguration istio-validator-istio-system was deleted",
        ),
        (
            ("label", "service", "istiod", "-n", _SYSTEM, "app=other", "--overwrite"),
            rf'Service istio-system/istiod was edited by kubectl-label {_WHEN}: metadata\.labels\.app: "other" → "istiod"',
        ),
        (("delete", "service", "istiod", "-n", _SYSTEM), "Service istio-system/istiod was deleted"),
    ],
    ids=["image", "injection-webhook", "validation-webhook", "label", "service"],
)
def test_what_a_person_did_is_shown_and_goes_back(program: Program, shell: Shell, edit: tuple[str, ...], sentence: str) -> None:
    shell.ok("kubectl", *edit)
    (step,) = program.pending().values()
    assert step["action"] == "upgrade"
    assert re.fullmatch(sentence, " ".join(step["reasons"])), step
    before = _revision(shell)
    program.up()
    assert program.pending() == {}
    # No conflict on the way: its failed revision would stay in the history.
    assert _revision(shell) == before + 1


@_NO_HELM_RUNS
def test_what_was_added_and_what_was_scaled_to_nothing_goes_back_without_helm(program: Program, shell: Shell) -> None:
    """All at once: one plan names each with its manager, one run puts all of it back."""
    program.up()
    before = _revision(shell)
    # First what istiod has to judge: what follows replaces its pod, and takes it away.
    void = {"spec": {"selector": {"matchLabels": {"app": "nothing"}}, "portLevelMtls": {"8080": {"mode": "DISABLE"}}}}
    shell.ok("kubectl", "patch", "peerauthentication", "default", "-n", _SYSTEM, "--type=merge", "-p", json.dumps(void))
    shell.ok("kubectl", "set", "env", "deployment/istiod", "-n", _SYSTEM, "ADDED=secret")
    selector = [{"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/-", "value": {"key": "nobody", "operator": "Exists"}}]
    injector = ("mutatingwebhookconfiguration", "istio-sidecar-injector")
    shell.ok("kubectl", "patch", *injector, "--type=json", "-p", json.dumps(selector))
    shell.ok("kubectl", "scale", "deployment/istiod", "-n", _SYSTEM, "--replicas=0")

    istiod, policy = program.pending().values()
    assert (istiod["action"], policy["action"]) == ("restore", "apply")
    patterns = (
        r"Deployment istio-system/istiod was scaled to 0 pods.*: spec\.replicas: 0 → 1",
        rf"Deployment istio-system/istiod was edited by kubectl-set {_WHEN}: {_DISCOVERY}\.env\[ADDED\]: \(added\) → \(removed\)",
        rf"MutatingWebhookConfiguration istio-sidecar-injector was edited by kubectl-patch {_WHEN}: .*nobody.* → \(removed\)",
    )
    for pattern in patterns:
        assert [reason for reason in istiod["reasons"] if re.fullmatch(pattern, reason)], (pattern, istiod)
    assert re.fullmatch(rf"was edited by kubectl-patch {_WHEN}: spec\.portLevelMtls, spec\.selector", " ".join(policy["reasons"])), policy
    assert "scaled to 0 pods" in program.run("status").out

    program.up()
    assert program.pending() == {}
    assert _revision(shell) == before
    spec = json.loads(shell.ok("kubectl", "get", "peerauthentication", "default", "-n", _SYSTEM, "-o", "json"))["spec"]
    assert spec == {"mtls": {"mode": "STRICT"}}
    # Helm's next change of what went back is no conflict with us.
    fields = shell.ok("kubectl", "get", "deployment", "istiod", "-n", _SYSTEM, "-o", "json", "--show-managed-fields")
    assert "meshinstall" not in {entry["manager"] for entry in json.loads(fields)["metadata"]["managedFields"]}


@_NO_HELM_RUNS
def test_what_is_changed_at_admission_is_said_and_left(program: Program, shell: Shell) -> None:
    shell.apply(*_surge())
    try:
        # The API server knows a policy some moments after it was made, and forgets it as late.
        until(lambda: _surges(shell), 20, lambda: "the policy changes nothing")
        shell.ok("kubectl", "annotate", "deployment", "istiod", "-n", _SYSTEM, "touched=true")
        assert program.pending() == {}
        found = {finding["code"]: finding for finding in json.loads(program.run("plan", "-o", "json").out)["findings"]}
        assert found["PRE022"]["detail"] == 'spec.strategy.rollingUpdate.maxSurge: "100%" → "50%"'
    finally:
        shell.ok("kubectl", "delete", "mutatingadmissionpolicy,mutatingadmissionpolicybinding", "surge")
    until(lambda: not _surges(shell), 20, lambda: "the policy still changes what is written")
    (step,) = program.pending().values()
    assert "maxSurge" in " ".join(step["reasons"]), step
    program.up()


def _surges(shell: Shell) -> bool:
    """Whether the policy changes a Deployment that is only tried."""
    edit = json.dumps({"spec": {"strategy": {"rollingUpdate": {"maxSurge": "75%"}}}})
    path = "jsonpath={.spec.strategy.rollingUpdate.maxSurge}"
    tried = ("deployment", "istiod", "-n", _SYSTEM, "--type=merge", "--dry-run=server", "-p", edit, "-o", path)
    return shell.ok("kubectl", "patch", *tried) == "50%"


def _surge() -> tuple[dict[str, Any], dict[str, Any]]:
    """An admission policy that gives every Deployment of istio-system another maxSurge."""
    group = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}
    fields = 'strategy: Object.spec.strategy{rollingUpdate: Object.spec.strategy.rollingUpdate{maxSurge: "50%"}}'
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": f"Object{{spec: Object.spec{{{fields}}}}}"}}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "failurePolicy": "Fail", "reinvocationPolicy": "Never", "mutations": [mutation]}
    namespace = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": _SYSTEM}}}
    policy = {"apiVersion": group, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "surge"}, "spec": spec}
    binding = {"policyName": "surge", "matchResources": namespace}
    return policy, {**policy, "kind": "MutatingAdmissionPolicyBinding", "spec": binding}


def _revision(shell: Shell) -> int:
    return int(json.loads(shell.ok("helm", "history", "istiod", "-n", _SYSTEM, "-o", "json"))[-1]["revision"])


def test_what_another_controller_sets_is_not_fought_over(program: Program, shell: Shell, helm: str) -> None:
    edit = json.dumps({"spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": pins.APP_IMAGE}]}}}})
    shell.ok("kubectl", "patch", "deployment", "istiod", "-n", _SYSTEM, "-p", edit, "--field-manager=argocd-controller")
    (step,) = program.pending().values()
    assert re.fullmatch(rf"Deployment istio-system/istiod was edited by argocd-controller {_WHEN}: {_IMAGE}", " ".join(step["reasons"])), (
        step
    )

    done = program.run("up", "--yes")
    if helm == "helm3":
        # It knows no managers of fields, and writes over all.
        assert done.status == 0, done
    else:
        assert done.status == 1, done
        assert "PRE031: Deployment istio-system/istiod has fields that argocd-controller sets" in done.err, done
        assert "hint: keep that manager from setting the field" in done.err, done
        image = shell.ok("helm", "get", "manifest", "istiod", "-n", _SYSTEM).partition("image: ")[2].splitlines()[0].strip('"')
        shell.ok("kubectl", "set", "image", "deployment/istiod", "-n", _SYSTEM, f"discovery={image}")
        program.up()
    assert program.pending() == {}


def test_what_was_scaled_by_hand_goes_back(program: Program, shell: Shell) -> None:
    fixed = program.having("--set", "istiod.autoscaleEnabled=false")
    fixed.up()
    shell.ok("kubectl", "scale", "deployment/istiod", "-n", _SYSTEM, "--replicas=2")
    (step,) = fixed.pending().values()
    # Who scaled is recorded only where somebody owned the number before.
    who = r"(kubectl|somebody that Kubernetes did not record) \((Update, )?about 20[0-9TZ:-]+\)"
    assert re.fullmatch(rf"Deployment istio-system/istiod was edited by {who}: spec\.replicas: 2 → 1", " ".join(step["reasons"])), step
    fixed.up()
    assert fixed.pending() == {}
    assert shell.ok("kubectl", "get", "deployment", "istiod", "-n", _SYSTEM, "-o", "jsonpath={.spec.replicas}") == "1"
