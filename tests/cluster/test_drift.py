"""Live objects that somebody edited: the plan says what and by whom, ``up`` puts it back, with Helm 4 and Helm 3."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed import pins
from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"
_IMAGE = r"spec\.template\.spec\.containers\[discovery\]\.image"


@pytest.fixture(scope="module", params=["helm4", "helm3"])
def helm(request: pytest.FixtureRequest) -> str:
    """Which Helm is on PATH, and made the releases."""
    return str(request.param)


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, helm: str) -> Program:
    """Meshinstall, with a control plane that this Helm installed."""
    found = meshinstall(own_module_cluster, helm).having("--profile", "minimal")
    found.ok("down", "--crds", "--yes")
    found.up()
    return found


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, helm: str, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell with the same Helm."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in (helm, "kubectl")))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            ("set", "image", "deployment/istiod", "-n", _SYSTEM, f"discovery={pins.APP_IMAGE}"),
            rf"Deployment istio-system/istiod was edited by kubectl-set: {_IMAGE}",
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
            r"Service istio-system/istiod was edited by kubectl-label: metadata\.labels\.app",
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
    program.up()
    assert program.pending() == {}


def test_what_another_controller_sets_is_not_fought_over(program: Program, shell: Shell, helm: str) -> None:
    edit = json.dumps({"spec": {"template": {"spec": {"containers": [{"name": "discovery", "image": pins.APP_IMAGE}]}}}})
    shell.ok("kubectl", "patch", "deployment", "istiod", "-n", _SYSTEM, "-p", edit, "--field-manager=argocd-controller")
    (step,) = program.pending().values()
    assert re.fullmatch(rf"Deployment istio-system/istiod was edited by argocd-controller: {_IMAGE}", " ".join(step["reasons"])), step

    done = program.run("up", "--yes")
    if helm == "helm3":
        # It knows no managers of fields, and writes over all.
        assert done.status == 0, done
    else:
        assert done.status == 1, done
        said = r"istio-system/istiod apps/v1, Kind=Deployment has fields that another manager owns: .*image is set by 'argocd-controller'"
        assert re.search(said, done.err), done.err
        assert "hint: keep that manager from setting the field and put it back by hand" in done.err
        image = shell.ok("helm", "get", "manifest", "istiod", "-n", _SYSTEM).partition("image: ")[2].splitlines()[0].strip('"')
        shell.ok("kubectl", "set", "image", "deployment/istiod", "-n", _SYSTEM, f"discovery={image}")
        program.up()
    assert program.pending() == {}


def test_what_was_scaled_by_hand_goes_back(program: Program, shell: Shell) -> None:
    fixed = program.having("--set", "istiod.autoscaleEnabled=false")
    fixed.up()
    shell.ok("kubectl", "scale", "deployment/istiod", "-n", _SYSTEM, "--replicas=2")
    (step,) = fixed.pending().values()
    assert re.fullmatch(r"Deployment istio-system/istiod was edited by kubectl: spec\.replicas", " ".join(step["reasons"])), step
    fixed.up()
    assert fixed.pending() == {}
    assert shell.ok("kubectl", "get", "deployment", "istiod", "-n", _SYSTEM, "-o", "jsonpath={.spec.replicas}") == "1"
