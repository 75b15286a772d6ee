"""What ``render`` writes for Argo CD and Flux, by the schemas of their CRDs and by helm; no controller is asked."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshinstall.config.crd_schemas import Schemas, read_schemas
from meshinstall.gitops.argocd import argocd
from meshinstall.gitops.flux import flux
from meshinstall.gitops.repository import Repository
from meshinstall.gitops.terms import Files
from meshinstall.model.facts import key_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.yaml_text import documents, load
from tests.cases.gitops import mesh, release, site

pytestmark = pytest.mark.tools

REPOSITORY = Repository("clusters/mesh", "https://git.example.com/shop/mesh.git")
SITES = [mesh("dev"), mesh("prod"), site("test", [], releases=[release("istiod", affinity=None)])]
# What each engine reads, and how many objects of it there are.
KINDS = {
    "argocd": {"Application": 13, "AppProject": 4, "ApplicationSet": 1},
    "flux": {"HelmRelease": 7, "OCIRepository": 7, "Kustomization": 11},
}


@pytest.fixture(scope="module")
def schemas(build_part: Callable[[str], Path]) -> Schemas:
    return read_schemas((build_part("engines") / "crds.yaml").read_text())


@pytest.mark.parametrize(("engine", "files"), [("argocd", argocd(SITES, REPOSITORY)), ("flux", flux(SITES, REPOSITORY))])
def test_every_object_fits_the_schema_of_its_kind(schemas: Schemas, engine: str, files: Files) -> None:
    seen: dict[str, int] = {}
    for path, text in files.items():
        found = load(text)
        if (found["apiVersion"], found["kind"]) in schemas.by_type:
            seen[found["kind"]] = seen.get(found["kind"], 0) + 1
            assert [str(problem) for problem in schemas.problems(PolicyObject(path, found, {}))] == []
    assert seen == KINDS[engine]


def test_the_schemas_refuse_what_they_do_not_know(schemas: Schemas) -> None:
    wrong = {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "spec": {"interval": "often", "chartReff": {}}}
    assert len(list(schemas.problems(PolicyObject("x", wrong, {})))) == 2


REGISTRY = """\
apiVersion: meshinstall.dev/v1
charts: {source: SOURCE}
environments: {dev: {cloud: local}, prod: {cloud: eks, profile: production}}
"""


def test_engines_get_charts_and_values_from_which_helm_makes_what_is_rendered(
    build_part: Callable[[str], Path], registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a registry, by the command line: what an engine is told to render is rendered here, and held against the manifests."""
    helm, source = build_part("helm4") / "helm", f"oci://{registry}/release/charts"
    for name in ("base", "istiod", "gateway"):
        archive = build_part("charts") / f"{name}-1.31.0.tgz"
        subprocess.run([helm, "push", archive, source, "--plain-http"], check=True, capture_output=True)
    (tmp_path / "meshinstall.yaml").write_text(REGISTRY.replace("SOURCE", source))
    monkeypatch.setenv("PATH", f"{helm.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    where = ("--repo-url", "https://git.example.com/mesh.git", "--path", "mesh")
    for arguments in (
        ("lock", "--update", "--env", "dev", "--env", "prod"),
        ("render", "--format", "manifests", "--out", "manifests"),
        ("render", "--format", "argocd", "--out", "argocd", *where),
        ("render", "--format", "flux", "--out", "flux", *where[2:]),
    ):
        subprocess.run([sys.executable, "-m", "meshinstall", *arguments], check=True, capture_output=True, cwd=tmp_path)
    for place in ("dev/local", "prod/eks"):
        _compare(tmp_path, place, helm)


def _compare(folder: Path, place: str, helm: Path) -> None:
    rendered = {key_of(one): one for one in _read(folder / "manifests" / place)}
    applications = [one["spec"]["source"] for one in _read(folder / "argocd" / place / "applications") if "helm" in one["spec"]["source"]]
    by_name = {(one["kind"], one["metadata"]["name"]): one.get("spec") for one in _read(folder / "flux" / place)}
    made: dict[Any, Any] = {}
    for application in applications:
        told = application["helm"]
        release = by_name["HelmRelease", told["releaseName"]]
        chart = by_name["OCIRepository", release["chartRef"]["name"]]
        values = load(told["values"]) if "values" in told else told.get("valuesObject", {})
        assert (chart["url"], chart["ref"]["digest"]) == (application["repoURL"], application["targetRevision"])
        assert "valuesFrom" in release or release.get("values", {}) == values
        where = [f"{chart['url']}@{chart['ref']['digest']}", "--plain-http", "--namespace", release["targetNamespace"]]
        argv = [helm, "template", told["releaseName"], *where, "--values", "-"]
        text = subprocess.run(argv, input=json.dumps(values), capture_output=True, text=True, check=True).stdout
        made |= {key_of(one): _plain(one) for _, document in documents(text) if (one := load(document))}
    assert len(applications) == 3
    assert {key: rendered.get(key) for key in made} == made
    rest = {key: one for key, one in rendered.items() if key not in made}
    assert {key.kind for key in rest} == {"Namespace", "PeerAuthentication"}
    for engine in ("argocd", "flux"):
        own = {key_of(one): one for one in _read(folder / engine / place)}
        assert {key: own[key] for key in rest} == rest


def _read(folder: Path) -> list[Any]:
    found = [load(file.read_text()) for file in sorted(folder.rglob("*.yaml"))]
    # kustomize's own files are no objects.
    return [one for one in found if "metadata" in one]


def _plain(manifest: dict[str, Any]) -> dict[str, Any]:
    """Without labels and annotations that are empty, which are none."""
    metadata = {name: value for name, value in manifest["metadata"].items() if value or name not in {"labels", "annotations"}}
    return {**manifest, "metadata": metadata}
