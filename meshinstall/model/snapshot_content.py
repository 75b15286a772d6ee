"""Reads the documents of a snapshot whose bytes were checked; pure. Whoever signed it may have been wrong: nothing is taken on trust."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from meshinstall.model import json_text
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.policy_kinds import PolicyKey, group_of
from meshinstall.model.release import ChartRef, ReleaseKey
from meshinstall.model.restoring import KeptChart, KeptGateway, KeptObject, KeptPort, KeptRelease, KeptSecret, SnapshotContent
from meshinstall.model.snapshot import MESH, SERVING, TIMES, is_safe_path, refusal, which
from meshinstall.model.snapshot_objects import SNAPSHOT_KINDS, mesh_labels
from meshinstall.model.snapshot_serving import read_serving, read_withheld
from meshinstall.model.values import LayerKind, Origin

OBJECTS = "objects/"
_REQUIRED = (MESH, TIMES, "desired.json", "namespaces.json", "gateways.json", "secrets.json", "verdict.json", "left-out.json")
# Documents that are read: beside the objects no other.
DOCUMENTS = frozenset({*_REQUIRED, SERVING})
# Of these layers nothing is in a file of the project.
_OPTIONS = frozenset({"file", "flag"})
# Objects of a snapshot: some ten times those of the largest mesh that is known.
_MOST = 100_000
# As the API server takes names (RFC 1123): of another form none can be there, and ".." would lead a request elsewhere.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_SPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def read_content(digest: str, documents: Mapping[str, bytes]) -> SnapshotContent:
    """What the documents of a snapshot say, by path; raises SnapshotError for what no snapshot of this format holds."""
    if missing := [f"{path} is missing" for path in _REQUIRED if path not in documents]:
        raise refusal(missing)
    try:
        found = {path: json_text.load(documents[path], json_text.once) for path in DOCUMENTS & documents.keys()}
        return _content(digest, documents, found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise refusal([f"a document of it is not what it should be: {plain(error)}"]) from None


def _content(digest: str, documents: Mapping[str, bytes], found: Mapping[str, Any]) -> SnapshotContent:
    mesh, desired, verdict = found[MESH], found["desired.json"], found["verdict.json"]
    return SnapshotContent(
        digest=digest,
        which=which(documents[TIMES], documents[MESH]),
        environment=_text(mesh["environment"]),
        cloud=_text(mesh["cloud"]),
        cluster=_text(mesh["cluster"]),
        profile=_text(desired["profile"]),
        istio_version=_text(desired["istioVersion"]),
        mesh_namespace=_space(desired["meshNamespace"]),
        trust_domain=_text(mesh["trustDomain"] or ""),
        roots=_fingerprints(mesh["roots"]),
        authority=_fingerprints(mesh["authority"]["fingerprints"]),
        authority_secret=_text(mesh["authority"]["secret"] or ""),
        sealed=bool(mesh["authority"]["included"]),
        objects=tuple(_objects(documents)),
        namespaces=_namespaces(found["namespaces.json"]["namespaces"]),
        gateways=tuple(_each(found["gateways.json"]["gateways"], _gateway)),
        serving=read_serving(found[SERVING]) if SERVING in found else None,
        withheld=read_withheld(found[SERVING]) if SERVING in found else {},
        secrets=tuple(_secret(row) for row in found["secrets.json"]["secrets"] if row["found"] is not False and _can_be(row)),
        verdict=_text(verdict["verdict"] or ""),
        ports=tuple(_each(verdict["ports"], _port)),
        charts=tuple({one.file: one for one in _each(desired["releases"], _chart)}.values()),
        releases=tuple(_each(desired["releases"], _release)),
        left_out=tuple(_text(row["name"]) for row in found["left-out.json"]["leftOut"]),
    )


def _each(rows: Iterable[Any], read: Callable[[Any], Any]) -> Iterator[Any]:
    return (read(row) for row in rows)


def _objects(documents: Mapping[str, bytes]) -> Iterator[KeptObject]:
    kinds = {f"{OBJECTS}{one.plural}.{group}.jsonl": (group, kind) for (group, kind), one in SNAPSHOT_KINDS.items()}
    known = set[PolicyKey]()
    for path in sorted(path for path in documents if path.startswith(OBJECTS)):
        for number, text in enumerate(documents[path].splitlines(), start=1):
            row = json_text.load(text, json_text.once)
            manifest = row["object"]
            _insist(manifest, kinds.get(path), f"{path}:{number}")
            if (key := policy_key(key_of(manifest))) in known:
                raise refusal([f"{path}:{number} holds {plain(key)} again"])
            known.add(key)
            if len(known) > _MOST:
                raise refusal([f"it has more than {_MOST} objects"])
            yield KeptObject(manifest, _text(row["keeper"] or ""), Origin(LayerKind.FILE, f"snapshot {path}", number))


def _insist(manifest: Any, kind: tuple[str, str] | None, place: str) -> None:
    metadata = manifest["metadata"]
    if kind is None or (group_of(str(manifest["apiVersion"])), manifest["kind"]) != kind:
        raise refusal([f"{place} holds an object of a kind that is not the file's"])
    version = str(manifest["apiVersion"]).rpartition("/")[2]
    if version not in SNAPSHOT_KINDS[kind].versions:
        raise refusal([f"{place} holds an object of a version that {kind[1]} has not"])
    if not _is_name(_NAME, metadata["name"]) or not _is_name(_SPACE, metadata["namespace"]):
        raise refusal([f"{place} holds an object with a name that no object can have"])
    if not metadata.keys() <= {"name", "namespace", "labels", "annotations"} or not all(
        map(_is_texts, (metadata.get("labels"), metadata.get("annotations")))
    ):
        raise refusal([f"{place} holds an object with other metadata than somebody wanted"])
    if not manifest.keys() <= {"apiVersion", "kind", "metadata", "spec"} or not isinstance(manifest.get("spec"), dict | None):
        raise refusal([f"{place} holds an object with more than a spec, or a spec without fields"])


def _is_name(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _is_texts(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(one, str) for one in value.values()))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return plain(value)


def _space(value: Any) -> str:
    if not _SPACE.fullmatch(_text(value)):
        raise ValueError(f"{value!r} is not a name of a namespace")
    return str(value)


def _namespaces(rows: Any) -> dict[str, dict[str, str]]:
    found = {_space(row["name"]): _labels(row["labels"]) for row in rows}
    if len(found) != len(rows):
        raise ValueError("a namespace is listed twice")
    return found


def _labels(value: Any) -> dict[str, str]:
    """Istio's alone: any other says who may do what in a namespace, or whose it is."""
    if not _is_texts(value) or value is None:
        raise TypeError("labels are not texts")
    if value.keys() != mesh_labels(value).keys() or not all(_is_label(*one) for one in value.items()):
        raise ValueError(f"a namespace has labels that are not Istio's: {', '.join(sorted(value))}")
    return dict(value)


def _is_label(key: str, value: str) -> bool:
    domain, _, name = key.rpartition("/")
    is_known = _LABEL.fullmatch(name) and (not domain or _NAME.fullmatch(domain))
    return bool(is_known and (not value or _LABEL.fullmatch(value)))


def _fingerprints(rows: Any) -> tuple[str, ...]:
    found = tuple(map(_text, rows))
    if not all(map(_FINGERPRINT.fullmatch, found)):
        raise ValueError("a fingerprint is not 64 hex digits")
    return found


def _gateway(row: Any) -> KeptGateway:
    return KeptGateway(_space(row["namespace"]), _text(row["name"]), tuple(map(_text, row["addresses"])))


def _can_be(row: Any) -> bool:
    """Whether a Secret can have that name: a gateway may name other things in its place."""
    return _is_name(_NAME, row["name"]) and (not row["namespace"] or _is_name(_SPACE, row["namespace"]))


def _secret(row: Any) -> KeptSecret:
    return KeptSecret(_text(row["namespace"] or ""), _text(row["name"]), _text(row["purpose"]), tuple(map(_text, row["namedBy"])))


def _port(row: Any) -> KeptPort:
    return KeptPort(_text(row["namespace"]), _text(row["workload"]), int(row["port"] or 0), _text(row["verdict"]))


def _chart(row: Any) -> KeptChart:
    chart = row["chart"]
    found = ChartRef(_text(chart["name"]), _text(chart["version"]), _text(chart["source"]), _text(chart["digest"]))
    file = _text(chart["file"])
    if not is_safe_path(file) or not file.startswith("charts/") or not _DIGEST.fullmatch(found.digest):
        raise ValueError(f"the chart {found.name} has no archive with a digest")
    return KeptChart(found, file)


def _release(row: Any) -> KeptRelease:
    """Values that options gave are told by their layer; each stands in for what the files say."""
    own: dict[str, Any] = {}
    for origin in row["origins"]:
        if origin["layer"] in _OPTIONS:
            _put(own, [_text(part) for part in origin["path"]], row["values"])
    return KeptRelease(ReleaseKey(_space(row["namespace"]), _text(row["name"])), dict(row["values"]), own)


def _put(into: dict[str, Any], path: list[str], values: Any) -> None:
    *above, last = path
    for part in above:
        into, values = into.setdefault(part, {}), values[part]
    into[last] = values[last]
