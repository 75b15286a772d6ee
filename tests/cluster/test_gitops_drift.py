"""``drift`` on a real API server: what differs is named, what it prints as the fix is run, and then nothing differs any more."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshinstall.model.yaml_text import documents, load
from testbed.cluster import Cluster
from testbed.spec import Nodes
from tests.cluster.mesh import Shell, namespace
from tests.cluster.meshinstall_run import REPOSITORY, Program, client_kubeconfig, meshinstall
from tests.cluster.transcript import first_missing, transcript

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"
_POLICY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]
"""
PAGE = REPOSITORY / "docs" / "gitops.md"
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_VOID = {"spec": {"selector": {"matchLabels": {"app": "nothing"}}}}


@pytest.fixture(scope="module")
def folder(own_module_cluster: Cluster) -> Path:
    """The files of the mesh."""
    return Path(meshinstall(own_module_cluster).env["MESHINSTALL_CONFIG"])


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, folder: Path, shell: Shell) -> Program:
    """Meshinstall, with a mesh that it installed from files with a policy."""
    (folder / "policies" / "base").mkdir(parents=True)
    (folder / "policies" / "base" / "web.yaml").write_text(_POLICY)
    found = meshinstall(own_module_cluster).having("--profile", "minimal")
    shell.apply(namespace("shop"))
    found.ok("lock", "--update")
    found.up()
    return found


@pytest.fixture(scope="module")
def helm() -> str:
    return "helm4"


@pytest.fixture
def clean(program: Program) -> Program:
    """The same with nothing that differs, which it must say itself."""
    none(program)
    return program


def none(program: Program, *flags: str) -> dict[str, Any]:
    """It must find nothing, and have seen everything."""
    done = program.run("drift", "-o", "json", *flags)
    assert done.status == 0, done
    found: dict[str, Any] = json.loads(done.out)
    assert (found["outcome"], found["objects"], found["notSeen"]) == ("none", [], [])
    return found


def drifted(program: Program, *flags: str) -> dict[str, dict[str, Any]]:
    """The objects that it must find, by name."""
    done = program.run("drift", "-o", "json", *flags)
    assert done.status == 3, done
    return {one["object"]: one for one in json.loads(done.out)["objects"]}


def fix(program: Program, found: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Run every command that is printed, in a shell, as a person copies it; of several that are the same the first alone."""
    script = tmp_path / "meshinstall"
    script.write_text(f'#!/bin/sh\n[ "$1" = up ] && set -- "$@" --yes\nexec {shlex.quote(sys.executable)} -m meshinstall "$@"\n')
    script.chmod(0o755)
    fixes = [one for each in found.values() for one in each["fixes"]]
    assert fixes
    assert all(one["isCommand"] for one in fixes), fixes
    env = {**program.env, "PATH": f"{tmp_path}:{program.env['PATH']}"}
    for text in dict.fromkeys(one["text"] for one in fixes):
        done = subprocess.run(["bash", "-c", text], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


def test_a_mesh_that_was_just_made_has_no_drift(program: Program) -> None:
    found = none(program)
    assert {one["name"] for one in found["engines"]} == {"Helm release istio-system/istio-base", "Helm release istio-system/istiod"}
    assert found["compared"] > 30


def test_a_policy_that_a_person_voided_is_named_and_put_right(clean: Program, shell: Shell, tmp_path: Path) -> None:
    shell.ok("kubectl", "patch", "peerauthentication", "default", "-n", _SYSTEM, "--type=merge", "-p", json.dumps(_VOID))
    found = drifted(clean)
    policy = found[f"PeerAuthentication {_SYSTEM}/default"]
    (field,) = policy["fields"]
    assert (policy["state"], field["path"], field["live"]) == ("edited", "spec.selector", _VOID["spec"]["selector"])
    assert "git" not in field
    assert (field["writers"][0]["manager"], field["writers"][0]["operation"]) == ("kubectl-patch", "Update")
    assert field["writers"][0]["time"]
    assert {"wider", "access"} <= {one["concern"] for one in policy["meaning"]}
    assert list(found) == [f"PeerAuthentication {_SYSTEM}/default"]
    # The page shows this one, and a label.
    shell.ok("kubectl", "label", "service", "istiod", "-n", _SYSTEM, "app=other", "--overwrite")
    printed = clean.run("drift")
    told = [_TIME.sub("TIME", line) for line in transcript(PAGE, "Drift")]
    assert first_missing(told, _TIME.sub("TIME", printed.out)) == ""
    fix(clean, found, tmp_path)
    none(clean)


def test_edits_of_charts_objects_are_told_in_three_columns_and_put_right(clean: Program, shell: Shell, tmp_path: Path) -> None:
    shell.ok("kubectl", "set", "env", "deployment/istiod", "-n", _SYSTEM, "ADDED=secret")
    shell.ok("kubectl", "scale", "deployment/istiod", "-n", _SYSTEM, "--replicas=0")
    shell.ok("kubectl", "label", "service", "istiod", "-n", _SYSTEM, "app=other", "--overwrite")
    shell.ok("kubectl", "delete", "mutatingwebhookconfiguration", "istio-sidecar-injector")
    found = drifted(clean)
    states = {name: one["state"] for name, one in found.items()}
    assert states == {
        f"Deployment {_SYSTEM}/istiod": "edited",
        f"Service {_SYSTEM}/istiod": "edited",
        "MutatingWebhookConfiguration istio-sidecar-injector": "missing",
    }
    label = found[f"Service {_SYSTEM}/istiod"]["fields"][0]
    assert (label["path"], label["git"], label["engine"], label["live"]) == ("metadata.labels.app", "istiod", "istiod", "other")
    fields = {one["path"]: one for one in found[f"Deployment {_SYSTEM}/istiod"]["fields"]}
    assert (fields["spec.replicas"]["git"], fields["spec.replicas"]["live"]) == (1, 0)
    assert fields["spec.template.spec.containers[discovery].env[ADDED]"]["live"] == "(not shown)"
    assert "secret" not in clean.run("drift").out
    fix(clean, found, tmp_path)
    none(clean)


def test_objects_of_nobody_that_weaken_the_mesh_are_extra(clean: Program, shell: Shell, tmp_path: Path) -> None:
    weak = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "open", "namespace": "shop"}}
    plain = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "plain", "namespace": "shop"}}
    allow = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "all", "namespace": "shop"}}
    shell.apply(
        {**weak, "spec": {"mtls": {"mode": "PERMISSIVE"}}},
        {**plain, "spec": {"host": "web", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}},
        {**allow, "spec": {"rules": [{}]}},
        # Others' objects that weaken nothing are nobody's business.
        {
            **weak,
            "metadata": {"name": "closed", "namespace": "shop"},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "mtls": {"mode": "STRICT"}},
        },
        {
            **plain,
            "metadata": {"name": "outside", "namespace": "shop"},
            "spec": {"host": "www.example.com", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
        },
    )
    found = drifted(clean)
    assert {name: (one["state"], one["meaning"][0]["concern"]) for name, one in found.items()} == {
        "PeerAuthentication shop/open": ("extra", "weaker"),
        "DestinationRule shop/plain": ("extra", "weaker"),
        "AuthorizationPolicy shop/all": ("extra", "wider"),
    }
    fix(clean, found, tmp_path)
    none(clean)
    shell.ok("kubectl", "delete", "-n", "shop", "peerauthentication/closed", "destinationrule/outside")


def test_what_git_says_now_and_up_has_not_run_for_is_not_applied(clean: Program, folder: Path, tmp_path: Path) -> None:
    file = folder / "policies" / "base" / "web.yaml"
    file.write_text(_POLICY.replace("sa/front", "sa/back"))
    try:
        found = drifted(clean, "--set", "istiod.env.PILOT_MAX_REQUESTS_PER_SECOND=30")
        policy, istiod = found["AuthorizationPolicy shop/web"], found[f"Deployment {_SYSTEM}/istiod"]
        assert (policy["state"], istiod["state"]) == ("not applied", "not applied")
        assert "policies/base/web.yaml" in policy["fields"][0]["origin"]
        sampling = next(one for one in istiod["fields"] if "PILOT_MAX_REQUESTS_PER_SECOND" in one["path"])
        assert "30" in json.dumps(sampling["git"])
        fix(clean, found, tmp_path)
        none(clean, "--set", "istiod.env.PILOT_MAX_REQUESTS_PER_SECOND=30")
    finally:
        file.write_text(_POLICY)
        clean.up()


def test_a_policy_that_left_git_is_left_over(clean: Program, folder: Path, tmp_path: Path) -> None:
    file = folder / "policies" / "base" / "other.yaml"
    file.write_text(_POLICY.replace("name: web", "name: other"))
    clean.up()
    file.unlink()
    found = drifted(clean)
    assert {name: one["state"] for name, one in found.items()} == {"AuthorizationPolicy shop/other": "left over"}
    fix(clean, found, tmp_path)
    none(clean)


def test_who_may_not_read_all_of_it_gets_no_proof(clean: Program, shell: Shell) -> None:
    cluster = shell.cluster
    kubeconfig = cluster.state / "reader.kubeconfig"
    kubeconfig.write_text(client_kubeconfig(cluster, "reader"))
    (page,) = re.findall(r"```yaml\n(.*?name: meshinstall-drift.*?)```", PAGE.read_text().partition("## Drift\n")[2], re.DOTALL)
    role, records = [load(text) for _, text in documents(page)]
    shell.apply(role, records, _bound(role, "reader"), _bound(records, "reader"))
    reader = replace(clean, env={**clean.env, "KUBECONFIG": str(kubeconfig)})
    none(reader)
    # Without the policies: nothing is known of them, and nothing is missing.
    shell.apply({**role, "rules": role["rules"][1:]})
    done = reader.run("drift", "-o", "json")
    assert done.status == 5, done
    found = json.loads(done.out)
    assert (found["outcome"], found["objects"]) == ("not proven", [])
    assert any("AuthorizationPolicy" in gap for gap in found["notSeen"])


def _bound(role: dict[str, Any], user: str) -> dict[str, Any]:
    """What gives a user a role."""
    group = "rbac.authorization.k8s.io"
    subject = {"apiGroup": group, "kind": "User", "name": user}
    reference = {"apiGroup": group, "kind": role["kind"], "name": role["metadata"]["name"]}
    kind = f"{role['kind']}Binding"
    return {"apiVersion": role["apiVersion"], "kind": kind, "metadata": role["metadata"], "roleRef": reference, "subjects": [subject]}


def test_a_mesh_that_kubectl_applied_has_no_drift_and_its_edits_are_patched_back(
    own_cluster: Callable[[str, Nodes], Cluster], build_part: Callable[[str], Path], tmp_path: Path
) -> None:
    cluster = own_cluster("applied", Nodes.REAL)
    shell = Shell(cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))
    program = meshinstall(cluster).having("--profile", "minimal")
    program.ok("lock", "--update")
    program.ok("render", "--format", "manifests", "--out", str(tmp_path / "out"))
    for step in sorted((tmp_path / "out" / "dev" / "local").iterdir()):
        if step.name.startswith("50"):
            shell.ok("kubectl", "wait", "deployment/istiod", "-n", _SYSTEM, "--for=condition=Available", "--timeout=120s", seconds=130)
        shell.ok("kubectl", "apply", "--server-side", "-f", str(step))
    none(program)
    shell.ok("kubectl", "patch", "peerauthentication", "default", "-n", _SYSTEM, "--type=merge", "-p", json.dumps(_VOID))
    shell.ok("kubectl", "annotate", "service", "istiod", "-n", _SYSTEM, "service.kubernetes.io/topology-mode=it's $(false) ::notice::")
    shell.ok("kubectl", "label", "deployment", "istiod", "-n", _SYSTEM, "app=other", "--overwrite")
    shell.ok("kubectl", "delete", "serviceaccount", "istiod", "-n", _SYSTEM)
    found = drifted(program)
    assert {name: one["state"] for name, one in found.items()} == {
        f"PeerAuthentication {_SYSTEM}/default": "edited",
        f"Deployment {_SYSTEM}/istiod": "edited",
        f"Service {_SYSTEM}/istiod": "edited",
        f"ServiceAccount {_SYSTEM}/istiod": "missing",
    }
    fix(program, found, tmp_path)
    none(program)


def test_a_mesh_that_argo_cd_and_flux_keep_is_read_by_their_own_objects(
    own_cluster: Callable[[str, Nodes], Cluster], build_part: Callable[[str], Path], tmp_path: Path
) -> None:
    """Their controllers do not run here: what they write is written in their names, in the kinds that their own CRDs have."""
    cluster = own_cluster("engines", Nodes.REAL)
    shell = Shell(cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))
    program = meshinstall(cluster).having("--profile", "minimal")
    program.ok("lock", "--update")
    program.ok("render", "--format", "manifests", "--out", str(tmp_path / "out"))
    shell.ok("kubectl", "apply", "--server-side", "-f", str(build_part("engines") / "crds.yaml"))
    for name in ("argocd", "flux-system"):
        shell.ok("kubectl", "create", "namespace", name)
    steps = sorted((tmp_path / "out" / "dev" / "local").iterdir())
    tracked = [_tracked(load(file.read_text())) for step in steps[:-1] for file in sorted(step.iterdir())]
    _apply_as(shell, "argocd-controller", *tracked)
    shell.ok("kubectl", "wait", "deployment/istiod", "-n", _SYSTEM, "--for=condition=Available", "--timeout=120s", seconds=130)
    labels = {"kustomize.toolkit.fluxcd.io/name": "mesh", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    (policy,) = [load(file.read_text()) for file in steps[-1].iterdir()]
    policy["metadata"]["labels"] |= labels
    _apply_as(shell, "kustomize-controller", policy)

    # All objects were compared: that their engines are elsewhere hides no drift.
    done = program.run("drift", "-o", "json")
    assert done.status == 0, done.out
    assert {gap.partition(" is not in this cluster")[0] for gap in json.loads(done.out)["notSeenOfEngines"]} == {
        "Argo CD Application mesh",
        "Flux Kustomization flux-system/mesh",
    }
    _engines(shell, tracked)
    found = none(program)
    assert {one["name"]: one["causes"] for one in found["engines"]} == {
        "Argo CD Application argocd/mesh": [],
        "Flux Kustomization flux-system/mesh": [],
    }

    shell.ok("kubectl", "patch", "peerauthentication", "default", "-n", _SYSTEM, "--type=merge", "-p", json.dumps(_VOID))
    shell.ok("kubectl", "annotate", "service", "istiod", "-n", _SYSTEM, "service.kubernetes.io/topology-mode=auto")
    deny = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
    shell.ok("kubectl", "patch", "appproject", "mesh", "-n", "argocd", "--type=merge", "-p", json.dumps({"spec": {"syncWindows": [deny]}}))
    shell.ok(
        "kubectl",
        "patch",
        "kustomization.kustomize.toolkit.fluxcd.io",
        "mesh",
        "-n",
        "flux-system",
        "--type=merge",
        "-p",
        '{"spec":{"suspend":true}}',
    )
    drift = json.loads(program.run("drift", "-o", "json").out)
    causes = {one["name"]: one["causes"] for one in drift["engines"]}
    assert causes == {
        "Argo CD Application argocd/mesh": ["a sync window denies it now: deny * * * * * for 1h UTC"],
        "Flux Kustomization flux-system/mesh": ["it is suspended: spec.suspend"],
    }
    objects = {one["object"]: one for one in drift["objects"]}
    assert {name: (one["state"], one["keptBy"]) for name, one in objects.items()} == {
        f"PeerAuthentication {_SYSTEM}/default": ("edited", "Flux Kustomization flux-system/mesh"),
        f"Service {_SYSTEM}/istiod": ("edited", "Argo CD Application mesh"),
    }
    assert objects[f"Service {_SYSTEM}/istiod"]["notes"] == ["Argo CD Application mesh says Synced: it does not see this"]
    fix(program, objects, tmp_path)
    none(program)


def _tracked(manifest: dict[str, Any]) -> dict[str, Any]:
    """With the mark that Argo CD puts on what it keeps, but for CRDs, which are the charts' own."""
    metadata, group = manifest["metadata"], manifest["apiVersion"].rpartition("/")[0]
    mark = f"mesh:{group}/{manifest['kind']}:{metadata.get('namespace', '')}/{metadata['name']}"
    notes = {**metadata.get("annotations", {}), "argocd.argoproj.io/tracking-id": mark}
    return {**manifest, "metadata": {**metadata, "annotations": notes}}


def _apply_as(shell: Shell, manager: str, *objects: dict[str, Any]) -> None:
    crds = [one for one in objects if one["kind"] in {"Namespace", "CustomResourceDefinition"}]
    for some in (crds, [one for one in objects if one not in crds]):
        body = {"apiVersion": "v1", "kind": "List", "items": some}
        if some:
            shell.ok("kubectl", "apply", "--server-side", "--field-manager", manager, "-f", "-", given=body)


def _engines(shell: Shell, tracked: list[dict[str, Any]]) -> None:
    """An Application that is Synced and Healthy, its project, and a Kustomization that is Ready."""
    resources = [
        {
            "group": one["apiVersion"].rpartition("/")[0],
            "version": one["apiVersion"].rpartition("/")[2],
            "kind": one["kind"],
            "namespace": one["metadata"].get("namespace", ""),
            "name": one["metadata"]["name"],
            "status": "Synced",
        }
        for one in tracked
    ]
    argo, place = {"apiVersion": "argoproj.io/v1alpha1"}, {"name": "mesh", "namespace": "argocd"}
    source = {"repoURL": "https://git.example.com/mesh.git", "path": "dev/local", "targetRevision": "HEAD"}
    spec = {"project": "mesh", "source": source, "destination": {"server": "https://kubernetes.default.svc"}}
    compared = {"comparedTo": {"source": source, "destination": spec["destination"]}}
    status = {"sync": {"status": "Synced", "revision": "a" * 40, **compared}, "health": {"status": "Healthy"}, "resources": resources}
    automated = {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}}
    shell.apply(
        {**argo, "kind": "AppProject", "metadata": place, "spec": {}},
        {**argo, "kind": "Application", "metadata": place, "spec": {**spec, **automated}, "status": status},
    )
    flux = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "mesh", "namespace": "flux-system"},
    }
    wanted = {"interval": "1m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "mesh"}}
    shell.apply({**flux, "spec": wanted})
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "ReconciliationSucceeded",
        "message": "ok",
        "lastTransitionTime": "2026-11-30T12:00:00Z",
    }
    ready = {"status": {"conditions": [condition], "lastAppliedRevision": f"main@sha1:{'a' * 40}"}}
    shell.ok(
        "kubectl",
        "patch",
        "kustomization.kustomize.toolkit.fluxcd.io",
        "mesh",
        "-n",
        "flux-system",
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps(ready),
    )
