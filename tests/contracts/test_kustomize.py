"""kustomize itself builds what ``render --format kustomize`` writes: every overlay is the objects of its site, field by field."""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from meshinstall.checks.policies.kustomizations import kustomized, patch_sources
from meshinstall.config.policy_files import read_objects
from meshinstall.gitops.kustomize import kustomize
from meshinstall.gitops.terms import RenderedSite, Step
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.yaml_dump import dump_all
from meshinstall.model.yaml_text import documents, load
from tests.cases.gitops import item, site

pytestmark = pytest.mark.tools

Build = Callable[[Path], dict[ObjectKey, Any]]


@pytest.fixture(scope="module")
def build(build_part: Callable[[str], Path]) -> Build:
    """The objects that ``kustomize build`` makes of a folder; two of one name are an error."""
    program = build_part("kustomize") / "kustomize"

    def one(folder: Path) -> dict[ObjectKey, Any]:
        done = subprocess.run([program, "build", str(folder)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return objects(done.stdout)

    return one


def objects(text: str) -> dict[ObjectKey, Any]:
    found = [load(document) for _, document in documents(text)]
    keyed = {key_of(one): one for one in found}
    assert len(keyed) == len(found)
    return keyed


def written(sites: Sequence[RenderedSite], folder: Path) -> None:
    for path, text in kustomize(sites).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


# What kustomize, its patches or its YAML may read as something else.
TRAPS = ["1e3", "0o14", "yes", "~", "null", "0x1F", "2026-11-30", "a\nb\n", " x", "x ", "#", "-", "*", "$(VAR)", "a: b", "\t"]
keys = some.sampled_from(["a", "b/c", "~d", "e.f", "~1", "name", "namespace", "mode", "on", "1"])
leaves = some.none() | some.booleans() | some.integers(-(2**31), 2**31) | some.sampled_from(TRAPS) | some.text("abc", max_size=4)
values = some.recursive(leaves, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(keys, inner, max_size=3), max_leaves=8)
# Names that a regular expression would take for each other.
names = some.sampled_from(["web", "web.a", "webxa", "web-a"])
KINDS = (
    ("security.istio.io/v1", "AuthorizationPolicy"),
    ("networking.istio.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
)


@some.composite
def several_sites(draw: some.DrawFn) -> list[RenderedSite]:
    """Sites with many objects in common, some changed a little."""
    common = draw(some.lists(some.tuples(some.sampled_from(KINDS), names, some.sampled_from(["shop", "pay"])), max_size=4, unique=True))
    specs = {one: {**draw(some.dictionaries(keys, values, max_size=4)), "long": "text " * 40} for one in common}
    made = []
    for environment in ("dev", "prod", "stage"):
        items = []
        for (kind, name, namespace), spec in specs.items():
            if draw(some.integers(0, 9)) == 0:
                continue
            changed = {**spec, draw(keys): draw(values)} if draw(some.booleans()) else spec
            about = {"name": name, "namespace": namespace, "labels": {"meshinstall.dev/environment": environment}}
            manifest = {"apiVersion": kind[0], "kind": kind[1], "metadata": about, "spec": changed}
            items.append(item(manifest, draw(some.sampled_from([Step.POLICIES, Step.POLICIES, Step.GATEWAYS]))))
        made.append(site(environment, items))
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sites=several_sites())
def test_an_overlay_is_its_site_whatever_is_in_the_objects(build: Build, sites: list[RenderedSite]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written(sites, Path(folder))
        for one in sites:
            if one.items:
                assert build(Path(folder) / "overlays" / one.path) == {item.key: item.manifest for item in one.items}


def test_a_step_can_be_built_alone(build: Build, tmp_path: Path) -> None:
    early = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "b"}}
    late = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "c", "namespace": "b"}}
    written([site("dev", [item(early), item(late, Step.POLICIES)])], tmp_path)
    assert list(build(tmp_path / "overlays/dev/eks/50-policies").values()) == [late]


def test_what_the_checks_say_of_kustomize_is_so(build: Build, tmp_path: Path) -> None:
    """A namespace moves the policy of the whole mesh, a prefix leaves hosts as they are, a merge patch drops the rules of the base."""
    peer = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "istio-system"},
    }
    rule = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "web"}, "spec": {"host": "web"}}
    policy = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "web"}}
    files = {
        "objects.yaml": dump_all([peer, rule, {**policy, "spec": {"rules": [{"to": ["GET"]}, {"to": ["HEAD"]}]}}]),
        "patch.yaml": dump_all([{**policy, "spec": {"rules": [{"to": ["POST"]}]}}]),
        "kustomization.yaml": "namespace: prod\nnamePrefix: eu-\nresources: [objects.yaml]\npatches: [{path: patch.yaml}]\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = {key.kind: (key, one) for key, one in build(tmp_path).items()}
    assert found["PeerAuthentication"][0].namespace == "prod"
    assert (found["DestinationRule"][0].name, found["DestinationRule"][1]["spec"]["host"]) == ("eu-web", "web")
    assert found["AuthorizationPolicy"][1]["spec"]["rules"] == [{"to": ["POST"]}]
    problems: list[Any] = []
    read = read_objects([tmp_path], problems)
    assert problems == []
    assert {one.code for one in kustomized(read, "istio-system")} == {"POL060", "POL061", "POL062"}
    assert {Path(source).name for source in patch_sources(read)} == {"patch.yaml"}
