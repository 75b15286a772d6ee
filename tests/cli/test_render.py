"""The command ``render`` as users type it: real charts and helm, no cluster; what is ours in the folder is kept, what is not is left."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from meshinstall.model.facts import key_of
from meshinstall.model.secrets import hides, shape
from meshinstall.model.yaml_text import documents, load
from tests.cli.running import Run

pytestmark = pytest.mark.tools

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "render.json").read_text())
PROJECT = """\
apiVersion: meshinstall.dev/v1
charts: {source: CHARTS}
istio: {version: "1.31", revisions: true, tags: [stable]}
policies: {baseline: deny-by-default, namespaces: [shop]}
environments:
  dev: {cloud: local, profile: ambient, mtls: PERMISSIVE}
  prod:
    profile: production
    clouds:
      eks: {}
      gke: {values: {istiod: {autoscaleMax: 8}}}
"""
# For what becomes of a folder any objects will do.
SMALL = """\
apiVersion: meshinstall.dev/v1
charts: {source: CHARTS}
istio: {version: "1.31"}
profile: minimal
environments:
  dev: {cloud: local, mtls: PERMISSIVE}
  prod:
    clouds:
      eks: {}
      gke: {values: {istiod: {autoscaleMax: 8}}}
"""
MANIFESTS = ("render", "--format", "manifests", "--out", "out")


@pytest.fixture(scope="module")
def tools(build_part: Callable[[str], Path]) -> tuple[Path, Path, Path]:
    """Folders with Istio's charts, helm and kustomize; found before a test has a home of its own."""
    return build_part("charts"), build_part("helm4"), build_part("kustomize")


@pytest.fixture
def place(tmp_path: Path, tools: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, run: Run) -> Callable[[str], Path]:
    """Writes a project with pinned charts into the current folder."""
    charts, helm, _ = tools
    monkeypatch.setenv("PATH", f"{helm}:{os.environ['PATH']}")

    def one(text: str) -> Path:
        file = tmp_path / "meshinstall.yaml"
        file.write_text(text.replace("CHARTS", str(charts)))
        assert run("lock", "--update", "--env", "dev").status == 0
        return file

    return one


@pytest.fixture
def project(place: Callable[[str], Path]) -> Path:
    """Three sites with all that can be rendered."""
    return place(PROJECT)


@pytest.fixture
def small(place: Callable[[str], Path]) -> Path:
    """Three sites with little to render."""
    return place(SMALL)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_every_site_is_written_the_same_each_time(run: Run, project: Path) -> None:
    done = run(*MANIFESTS)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1].endswith("files written; dev/local (Istio 1.31.0), prod/eks (Istio 1.31.0), prod/gke (Istio 1.31.0)")
    first = tree(project.parent / "out")
    assert run("render", "--format", "manifests", "--out", "again").status == 0
    assert tree(project.parent / "again") == first
    assert {path.split("/")[2] for path in first if "/" in path} == {
        "00-namespaces",
        "10-crds",
        "20-control-plane",
        "30-tags",
        "40-gateways",
        "50-policies",
    }


def test_a_file_is_one_object_with_its_namespace_and_without_a_secret(run: Run, project: Path) -> None:
    run(*MANIFESTS)
    files = {path: data.decode() for path, data in tree(project.parent / "out").items() if path.endswith(".yaml")}
    for path, text in files.items():
        ((_, document),) = documents(text)
        found = load(document)
        assert not (shape(text) if found["kind"] == "CustomResourceDefinition" else hides(found)), path
        key = key_of(found)
        named = [f"{key.kind}.{key.api_version.rpartition('/')[0]}".rstrip(".").lower(), key.namespace, key.name]
        assert path.endswith(f"/{'_'.join(filter(None, named))}.yaml")
    mesh_wide = load(files["dev/local/50-policies/peerauthentication.security.istio.io_istio-system_default.yaml"])
    assert mesh_wide["spec"] == {"mtls": {"mode": "PERMISSIVE"}}
    assert mesh_wide["metadata"]["labels"]["meshinstall.dev/environment"] == "dev"


def test_a_folder_is_checked_and_each_difference_named(run: Run, small: Path) -> None:
    run(*MANIFESTS)
    assert run(*MANIFESTS, "--check").status == 0
    folder = small.parent / "out"
    changed = folder / "prod/gke/50-policies/peerauthentication.security.istio.io_istio-system_default.yaml"
    changed.write_text(changed.read_text().replace("STRICT", "DISABLE"))
    (folder / "dev/local/00-namespaces/namespace_istio-system.yaml").unlink()
    (folder / "dev/local/00-namespaces/mine.yaml").write_text("kind: Mine\n")
    before = tree(folder)
    done = run(*MANIFESTS, "--check")
    assert done.status == 3
    assert done.out.splitlines()[:2] == [
        "+ dev/local/00-namespaces/namespace_istio-system.yaml",
        "~ prod/gke/50-policies/peerauthentication.security.istio.io_istio-system_default.yaml",
    ]
    assert tree(folder) == before
    found = json.loads(run(*MANIFESTS, "--check", "-o", "json").out)
    jsonschema.validate(found, SCHEMA)
    assert [one["change"] for one in found["changes"]] == ["created", "changed"]
    assert run(*MANIFESTS).status == 0
    assert run(*MANIFESTS, "--check").status == 0
    assert (folder / "dev/local/00-namespaces/mine.yaml").read_text() == "kind: Mine\n"


def test_what_is_no_longer_wanted_goes_and_what_others_put_there_stays(run: Run, small: Path) -> None:
    run(*MANIFESTS)
    folder = small.parent / "out"
    (folder / "prod/eks/50-policies/mine.yaml").write_text("kind: Mine\n")
    small.write_text(small.read_text().replace("      eks: {}\n", ""))
    done = run(*MANIFESTS, "-o", "json")
    assert done.err == ""
    jsonschema.validate(json.loads(done.out), SCHEMA)
    assert [path for path in tree(folder) if path.startswith("prod/eks")] == ["prod/eks/50-policies/mine.yaml"]
    assert not (folder / "prod/eks/10-crds").exists()


def test_a_file_of_somebody_else_is_not_written_over(run: Run, small: Path) -> None:
    file = small.parent / "out/prod/eks/00-namespaces/namespace_istio-system.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("kind: Mine\n")
    done = run(*MANIFESTS)
    assert done.status == 2
    assert "1 files of somebody else have names that would be written: prod/eks/00-namespaces/namespace_istio-system.yaml" in done.err
    assert tree(small.parent / "out") == {"prod/eks/00-namespaces/namespace_istio-system.yaml": b"kind: Mine\n"}


@pytest.mark.parametrize("link_at", ["out/prod", "out/prod/eks", "out/meshinstall.rendered"])
def test_no_link_below_the_folder_is_followed(run: Run, small: Path, link_at: str) -> None:
    outside = small.parent / "outside"
    outside.mkdir()
    link = small.parent / link_at
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    done = run(*MANIFESTS)
    assert done.status == 2
    assert f"{link_at} is a link" in done.err
    assert list(outside.iterdir()) == []


def test_one_site_does_not_take_the_files_of_the_others(run: Run, small: Path) -> None:
    run(*MANIFESTS)
    before = tree(small.parent / "out")
    done = run(*MANIFESTS, "--env", "prod", "--cloud", "eks")
    assert done.status == 2
    assert "the folder was rendered for dev/local, prod/gke too" in done.err
    assert tree(small.parent / "out") == before
    assert run("render", "--format", "manifests", "--out", "one", "--env", "prod", "--cloud", "eks").status == 0
    assert {path.split("/")[1] for path in tree(small.parent / "one") if "/" in path} == {"eks"}


def test_a_chart_that_is_not_pinned_is_not_rendered(run: Run, small: Path) -> None:
    (small.parent / "meshinstall.lock").unlink()
    done = run(*MANIFESTS)
    assert done.status == 1
    assert "is not in meshinstall.lock" in done.err
    assert "where it is on several clouds with --cloud for each" in done.err
    assert not (small.parent / "out").exists()


def test_a_secret_is_not_rendered(run: Run, small: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----"
    values = small.parent / "more.yaml"
    values.write_text("env: {ONE: a, TWO: b}\n")
    assert run(*MANIFESTS, "-f", "istiod=more.yaml").status == 0
    values.write_text(f"env: {{ONE: '{key} x'}}\n")
    done = run("render", "--format", "manifests", "--out", "new", "-f", "istiod=more.yaml")
    assert done.status == 2
    assert key not in done.err
    assert not (small.parent / "new").exists()


def test_values_that_a_chart_refuses_are_told_with_their_lines(run: Run, small: Path) -> None:
    small.write_text(small.read_text().replace("autoscaleMax: 8", "replicaCount: 2.5"))
    done = run(*MANIFESTS)
    assert done.status == 2
    assert "meshinstall.yaml:10:31: replicaCount must be a whole number" in done.err
    assert not (small.parent / "out").exists()


def test_kustomize_builds_what_the_manifests_are(run: Run, project: Path, tools: tuple[Path, Path, Path]) -> None:
    run(*MANIFESTS)
    assert run("render", "--format", "kustomize", "--out", "k").status == 0
    assert run("render", "--format", "kustomize", "--out", "k", "--check").status == 0
    for site in ("dev/local", "prod/eks", "prod/gke"):
        plain = {path: data for path, data in tree(project.parent / "out" / site).items() if path.endswith(".yaml")}
        built = subprocess.run(
            [tools[2] / "kustomize", "build", project.parent / "k/overlays" / site], capture_output=True, text=True, check=True
        )
        found = {key_of(one): one for one in (load(document) for _, document in documents(built.stdout))}
        assert found == {key_of(one): one for one in map(load, plain.values())}
    done = run("render", "--format", "manifests", "--out", "k")
    assert done.status == 2
    assert "the folder was rendered with --format kustomize" in done.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("manifests", "--path", "x"), 2, "--format manifests does not need --path"),
        (("kustomize", "--repo-url", "https://git.example.com/x"), 2, "--format kustomize does not need --repo-url"),
        (("flux", "--path", "x", "--repo-url", "https://git.example.com/x"), 2, "--format flux does not need --repo-url"),
        (("flux",), 2, "--path '': not a folder of a repository"),
        (("argocd", "--path", "x"), 2, "--repo-url: not the address of a Git repository"),
        (("flux", "--path", "x"), 1, "engines take charts by digest from a registry alone"),
        (("helmfile",), 2, "Invalid value for '--format'"),
    ],
)
def test_what_a_format_needs(run: Run, small: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    done = run("render", "--out", "out", "--format", *arguments)
    assert (done.status, done.out) == (status, "")
    assert said in done.err
    assert not (small.parent / "out").exists()
