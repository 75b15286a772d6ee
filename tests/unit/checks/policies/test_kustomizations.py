"""What a Kustomization has, by its resources and theirs; what is said is in tests/cases/policy, the referee in tests/contracts."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.policies.kustomizations import kustomized, patch_sources
from meshinstall.config.policy_files import read_objects
from meshinstall.model.policy_object import PolicyObject

PEER = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: istio-system}\nspec: {}\n"


def found(folder: Path, files: dict[str, str]) -> list[tuple[str, str]]:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    problems: list[Any] = []
    read = read_objects([folder], problems)
    assert problems == []
    return [(one.code, one.origin.removeprefix(f"{folder}/")) for one in kustomized(read, "istio-system")]


def test_a_base_of_a_base_counts_and_what_is_elsewhere_does_not(tmp_path: Path) -> None:
    files = {
        "overlays/prod/kustomization.yaml": "namespace: prod\nresources: [../../base, https://example.com/x]\n",
        "base/kustomization.yml": "resources: [mesh]\n",
        "base/mesh/kustomization.yaml": "resources: [peer.yaml]\n",
        "base/mesh/peer.yaml": PEER,
        "other/kustomization.yaml": "namespace: prod\nresources: [../gone]\n",
    }
    assert found(tmp_path, files) == [("POL060", "overlays/prod/kustomization.yaml:1:1")]


def test_kustomizations_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    """Each names all others: every way through them would never be gone."""
    names = [f"k{number}" for number in range(30)]
    files = {f"{name}/kustomization.yaml": f"resources: [{', '.join(f'../{other}' for other in names)}, ../peer.yaml]\n" for name in names}
    assert found(tmp_path, {**files, "peer.yaml": PEER, "k0/kustomization.yaml": f"namespace: x\n{files['k0/kustomization.yaml']}"}) == [
        ("POL060", "k0/kustomization.yaml:1:1")
    ]


def test_a_patch_of_a_file_and_a_list_of_operations(tmp_path: Path) -> None:
    patch = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {http: [{}]}\n"
    files = {
        "kustomization.yaml": "patches:\n- path: merge.yaml\n- path: json.yaml\n  target: {kind: VirtualService}\n",
        "merge.yaml": patch,
        "json.yaml": "# words\n- {op: remove, path: /spec/http}\n",
    }
    assert found(tmp_path, files) == [("POL062", "kustomization.yaml:2:3")]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["x.yaml", "..", "a:\n b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["path", "patch", "kind", "spec"]), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["resources", "components", "bases", "patches", "patchesStrategicMerge", "namespace", "namePrefix", "metadata"])


@given(st.dictionaries(FIELDS, ANY, max_size=6))
def test_no_shape_of_a_kustomization_stops_it(said: dict[str, Any]) -> None:
    manifest = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **said}
    one = PolicyObject("x.yaml", manifest, {})
    other = PolicyObject("x.yaml", {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", **said}, {})
    list(kustomized([one, other], "istio-system"))
    patch_sources([one, other])
