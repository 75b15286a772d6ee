"""Digests of what the owner of a pod wrote of it, without what the injector adds: what differs there, no upgrade changed; pure."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.engine.mesh.kube_objects import labels
from meshinstall.engine.mesh.redirection import INIT, VALIDATION
from meshinstall.engine.objects.json_fields import at, rows, table, text
from meshinstall.model.istio import PROXY_CONTAINER
from meshinstall.model.labels import REVISION, TLS_MODE

_OF_ISTIO = frozenset({PROXY_CONTAINER, INIT, VALIDATION, "enable-core-dump", "agentgateway"})
# Of a container what decides its traffic and whether it starts; the injector rewrites probes.
_PARTS = ("name", "image", "command", "args", "ports", "securityContext", "restartPolicy")
# What controllers write on each pod, and the injector.
_NOT_OF_OWNERS = frozenset({REVISION, TLS_MODE, "topology.istio.io/subzone", "istio.io/dataplane-mode"})
_PREFIXES = ("service.istio.io/", "batch.kubernetes.io/", "apps.kubernetes.io/", "statefulset.kubernetes.io/")
_OF_CONTROLLERS = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation", "controller-uid", "job-name"})
_NOTES = ("proxy.istio.io/config",)
_BYTES = 12


def recipe(item: Mapping[str, Any]) -> str:
    """A digest of the owner's containers, account and labels."""
    spec = table(at(item, "spec"))
    notes = table(at(item, "metadata", "annotations"))
    return _digest(
        [
            list(_containers(spec)),
            text(spec.get("serviceAccountName")),
            spec.get("hostNetwork") is True,
            {name: value for name, value in labels(item).items() if _is_of_owner(name)},
            [notes.get(name) for name in _NOTES],
        ]
    )


def labelled(item: Mapping[str, Any]) -> str:
    """A digest of the same and of all labels, which somebody can write on a pod that runs."""
    own = {name: value for name, value in labels(item).items() if name not in _OF_CONTROLLERS and not name.startswith(_PREFIXES[1:])}
    return _digest([recipe(item), own])


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainers", "containers"):
        for one in rows(spec.get(kind)):
            if at(one, "name") not in _OF_ISTIO:
                yield {part: table(one).get(part) for part in _PARTS}


def _is_of_owner(label: str) -> bool:
    return label not in _NOT_OF_OWNERS | _OF_CONTROLLERS and not label.startswith(_PREFIXES)


def _digest(value: Any) -> str:
    found = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    # Most pods of a mesh share one with others.
    return sys.intern(hashlib.blake2b(found.encode("utf-8", "backslashreplace"), digest_size=_BYTES).hexdigest())
