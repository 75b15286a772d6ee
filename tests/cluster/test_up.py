"""``meshinstall up``: a mesh that works, an audit trail, and nothing to do the second time; with Helm 4 and Helm 3."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from testbed import pins
from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall, recording_helm

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, helm: str) -> Program:
    """Meshinstall on a cluster without a trace of Istio."""
    found = meshinstall(own_module_cluster, helm)
    found.ok("down", "--crds", "--yes")
    return found


@pytest.fixture(scope="module")
def first_words(program: Program) -> str:
    """What the first up said."""
    return program.up().err


def test_the_gateway_answers_at_the_address_that_up_tells(first_words: str, get: Callable[[str], int]) -> None:
    found = re.search(r"✓ istio-ingress/istio-ingress: done in [0-9.]+ s, ([0-9.]+)$", first_words, re.MULTILINE)
    assert found, first_words
    assert get(f"http://{found[1]}:15021/healthz/ready") == 200


@pytest.mark.usefixtures("first_words")
def test_strict_mtls_is_the_default(shell: Shell) -> None:
    said = shell.ok("kubectl", "get", "peerauthentication", "default", "-n", "istio-system", "-o", "json")
    assert json.loads(said)["spec"] == {"mtls": {"mode": "STRICT"}}


@pytest.mark.usefixtures("first_words")
def test_helms_own_history_is_the_audit_trail(shell: Shell) -> None:
    shown = shell.ok("kubectl", "get", "configmap", "meshinstall", "-n", "istio-system", "-o", "json")
    summary = json.loads(shown)["data"]
    assert summary["result"] == "done"
    assert summary["environment"] == "dev"
    assert summary["profile"] == "default"
    for release, where in (("istio-base", "istio-system"), ("istiod", "istio-system"), ("istio-ingress", "istio-ingress")):
        (revision,) = json.loads(shell.ok("helm", "history", release, "-n", where, "-o", "json"))
        assert revision["status"] == "deployed"
        assert re.fullmatch(
            rf"meshinstall: environment dev, profile default, chart sha256:[0-9a-f]{{64}}, plan {summary['plan']}", revision["description"]
        )


@pytest.mark.usefixtures("first_words")
def test_the_second_up_has_nothing_to_do_and_starts_no_helm(program: Program, tmp_path: Path) -> None:
    calls, path = recording_helm(tmp_path, program.env["PATH"])
    watched = program.having(PATH=path)
    said = watched.up().err
    assert "Nothing to do." in said
    assert "begins" not in said
    assert watched.pending() == {}
    assert calls.read_text() == ""

    # The recorder works: a change does start helm.
    watched.up("--set-string", "istio-ingress.podAnnotations.example=1")
    assert "upgrade" in calls.read_text()


def test_a_pipe_is_not_asked_and_nothing_happens(program: Program) -> None:
    done = program.run("up", "--set", "istiod.env.ASKED=1")
    assert done.status == 2
    assert "cannot ask whether to run the plan" in done.err
    assert "add --yes" in done.err
    assert "begins" not in done.err


@pytest.mark.usefixtures("first_words")
def test_a_gateway_rolls_when_the_images_change(program: Program, shell: Shell, tmp_path: Path) -> None:
    """What is changed here is no more than that the tag is said: the pods are made anew all the same."""
    folder = Path(program.env["MESHINSTALL_CONFIG"])
    shutil.copytree(folder, tmp_path / "config")
    file = tmp_path / "config" / "meshinstall.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "images": {"tag": pins.ISTIO}}))
    hash_of = ("kubectl", "get", "pods", "-n", "istio-ingress", "-o", "jsonpath={.items[*].metadata.labels.pod-template-hash}")
    before = set(shell.ok(*hash_of).split())
    tagged = program.having(MESHINSTALL_CONFIG=str(file.parent))
    assert "istio-ingress/istio-ingress" in tagged.pending()
    tagged.up("--no-verify")
    assert tagged.pending() == {}
    # The old pod may still be ending.
    assert set(shell.ok(*hash_of).split()) - before
