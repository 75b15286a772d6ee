"""What of a cluster's objects a snapshot keeps: what somebody wanted, who keeps it, and which Secrets it names; pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import kept_by, owner_of
from meshinstall.model.policy_kinds import EXTENSIONS, GATEWAY_API, NETWORKING, OTHER_KINDS, POLICY_KINDS, PolicyKind
from meshinstall.model.release import Manifest
from meshinstall.model.secrets import hides
from meshinstall.model.yaml_text import load

# By group and kind.
SNAPSHOT_KINDS: Mapping[tuple[str, str], PolicyKind] = {**POLICY_KINDS, **OTHER_KINDS}

# What kubectl and controllers write for themselves.
_DROPPED = frozenset({"kubectl.kubernetes.io/last-applied-configuration", "kubectl.kubernetes.io/restartedAt"})
_KEPT = ("name", "namespace", "labels", "annotations")
_INJECTION = "istio-injection"
_ISTIO = "istio.io"
# Places of one thing that are told, and characters of a text that is read as YAML.
_TOLD, _READ = 5, 1024 * 1024


def wanted_state(live: Manifest, api_version: str, kind: str) -> dict[str, Any]:
    """An object without what the cluster made of it: of its metadata the name, labels and annotations are kept, and no status."""
    found = {"apiVersion": api_version, "kind": kind, "metadata": _metadata(live["metadata"])}
    return {**found, **{key: value for key, value in live.items() if key not in {"apiVersion", "kind", "metadata", "status"}}}


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: metadata[key] for key in _KEPT if metadata.get(key)}
    if "annotations" in kept:
        kept["annotations"] = {key: value for key, value in kept["annotations"].items() if key not in _DROPPED}
    return {key: value for key, value in kept.items() if value}


def keeper(live: Manifest) -> str:
    """Who makes an object again by itself: a GitOps engine, helm, or a controller; empty for one that somebody wrote by hand."""
    if found := kept_by(live):
        return found
    if release := owner_of(live["metadata"]):
        return f"Helm release {plain(release)}"
    owners = live["metadata"].get("ownerReferences") or ()
    owner = next((one for one in owners if one.get("controller")), next(iter(owners), None))
    return f"{plain(owner.get('kind', ''))} {plain(owner.get('name', ''))}" if owner else ""


def mesh_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Those labels of a namespace that are Istio's."""
    return {key: value for key, value in sorted(labels.items()) if key == _INJECTION or _is_istios(key.rpartition("/")[0])}


def _is_istios(domain: str) -> bool:
    return domain == _ISTIO or domain.endswith(f".{_ISTIO}")


class SecretUse(NamedTuple):
    """A Secret that an object names; an empty ``namespace`` is that of the pods that the object selects."""

    namespace: str
    name: str
    by: str


def secret_uses(manifest: Manifest) -> Iterator[SecretUse]:
    """The Secrets that an object names: credentialName of Istio, certificateRefs of the Gateway API, imagePullSecret of a WasmPlugin."""
    kind, group = str(manifest.get("kind", "")), str(manifest.get("apiVersion", "")).rpartition("/")[0]
    metadata, spec = manifest["metadata"], _map(manifest.get("spec"))
    space = str(metadata.get("namespace", ""))
    by = f"{kind} {space}/{metadata.get('name', '')}"
    match group, kind:
        case (str(found), "Gateway") if found == NETWORKING:
            blocks = [_map(_map(server).get("tls")) for server in _list(spec.get("servers"))]
            yield from (SecretUse("", name, by) for block in blocks for name in _credentials(block))
        case (str(found), "DestinationRule") if found == NETWORKING:
            yield from (SecretUse("", name, by) for block in _tls_blocks(spec) for name in _credentials(block))
        case (str(found), "Gateway") if found == GATEWAY_API:
            refs = (ref for one in _list(spec.get("listeners")) for ref in _list(_map(_map(one).get("tls")).get("certificateRefs")))
            yield from (
                SecretUse(str(_map(ref).get("namespace") or space), str(_map(ref).get("name", "")), by) for ref in refs if _is_secret(ref)
            )
        case (str(found), "WasmPlugin") if found == EXTENSIONS and isinstance(spec.get("imagePullSecret"), str):
            yield SecretUse(space, spec["imagePullSecret"], by)


def _is_secret(reference: Any) -> bool:
    return _map(reference).get("kind", "Secret") == "Secret" and not _map(reference).get("group")


def _credentials(block: Mapping[str, Any]) -> Iterator[str]:
    names = [block.get("credentialName"), *_list(block.get("credentialNames"))]
    yield from dict.fromkeys(name for name in names if isinstance(name, str) and name)


def _tls_blocks(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every map under ``tls`` in a value, however deep: of the whole host, a port or a subset."""
    for key, item in _map(value).items():
        if key == "tls" and isinstance(item, Mapping):
            yield item
        yield from _tls_blocks(item)
    for item in _list(value):
        yield from _tls_blocks(item)


def secret_fields(value: Any) -> tuple[str, ...]:
    """Paths of the fields of a value that hold what looks like a secret, at most five; a path is ``spec.configPatches.0.patch``."""
    found = (path for path, _ in zip(_fields(value, ()), range(_TOLD), strict=False))
    return tuple(".".join(map(plain, path)) or "the whole" for path in found)


def secret_lines(text: str) -> tuple[str, ...]:
    """The same for the text of a YAML file; ``a line or comment`` where no field holds it."""
    if not hides(text):
        return ()
    try:
        found = load(text[:_READ])
    except ValueError:
        found = None
    return (secret_fields(found) if isinstance(found, Mapping | list) else ()) or ("a line or comment",)


def _fields(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The innermost places that hide something; what only its surroundings make a secret is told by them."""
    if not hides(value, *path[-1:]):
        return
    inner = [one for key, item in _children(value) for one in _fields(item, (*path, key))]
    yield from inner or [path]


def _children(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    return [(str(index), item) for index, item in enumerate(_list(value))]


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
