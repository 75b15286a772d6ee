"""One observation of a cluster, made before planning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meshinstall.model.mesh import PeerPolicy
from meshinstall.model.own_ca import LostRoot, OwnCaFacts
from meshinstall.model.policy_kinds import PolicyKey, group_of
from meshinstall.model.position import RevisionUsers
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey, ReleaseRecord
from meshinstall.model.restoring import RestorationFacts


class ObjectKey(NamedTuple):
    """What names an object in a cluster; ``namespace`` is empty for cluster-wide ones."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """``Kind namespace/name``."""
        return f"{self.kind} {f'{self.namespace}/' if self.namespace else ''}{self.name}"


def key_of(manifest: Manifest, namespace: str = "") -> ObjectKey:
    """The key of an object; ``namespace`` stands in where it names none."""
    metadata = manifest.get("metadata") or {}
    return ObjectKey(
        str(manifest.get("apiVersion", "")), str(manifest.get("kind", "")), metadata.get("namespace") or namespace, metadata.get("name", "")
    )


def policy_key(key: ObjectKey) -> PolicyKey:
    """The same object whatever version it is written in."""
    return PolicyKey(group_of(key.api_version), key.kind, key.namespace, key.name)


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What is known of policies that files describe, beside the wanted objects themselves.

    ``left`` are those of ours that no file has any more; ``unserved`` are wanted ones whose version the cluster does not serve, each with
    the version in which it does, empty where it does not have the kind; ``homeless`` are namespaces of wanted ones that do not exist;
    ``unseen`` says why they could not be listed. ``others`` are AuthorizationPolicies and RequestAuthentications that somebody else made;
    they are asked for only where there are wanted ones.
    """

    left: Mapping[ObjectKey, Manifest] = field(default_factory=dict)
    unserved: Mapping[ObjectKey, str] = field(default_factory=dict)
    homeless: frozenset[str] = frozenset()
    unseen: str = ""
    others: tuple[Manifest, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """One observation of a cluster.

    ``namespaces`` and ``policies`` hold None where nothing is there; ``owned``
    maps each release to the objects that Helm's record says it has, ``live``
    to what of them was found; ``charts`` maps a chart's name to what the
    source has; ``missing_crds`` are those that a record has and the cluster has not;
    ``orphans`` are releases of ours that are no longer desired, ``left`` such namespaces;
    ``admitted`` are paths of fields that the API server gives back as they are whatever is asked for;
    ``tags`` are the objects of every tag that is there, ``wanted_tags`` those that should be, which are in ``live`` too.
    ``istiods`` are all releases of the chart istiod in the mesh's namespace, desired or not; ``revision_users`` is asked for only where
    istiods of other revisions than the desired one are there.
    ``peers`` are all PeerAuthentications of the cluster, ``peers_unseen`` says why they could not be listed, and
    ``peers_denied`` that a right is missing;
    ``own_ca`` is asked for where the files name a CA, ``lost_root`` where they name none and there is no control plane;
    ``strangers`` say why helm may not uninstall a release (engine/observe/belongings.py), which only a removal asks;
    ``restored`` is asked for by a restore alone.
    """

    kubernetes: str
    namespaces: Mapping[str, Manifest | None] = field(default_factory=dict)
    releases: Mapping[ReleaseKey, ReleaseRecord] = field(default_factory=dict)
    charts: Mapping[str, ChartRef] = field(default_factory=dict)
    owned: Mapping[ReleaseKey, tuple[Manifest, ...]] = field(default_factory=dict)
    live: Mapping[ObjectKey, Manifest] = field(default_factory=dict)
    policies: Mapping[ObjectKey, Manifest | None] = field(default_factory=dict)
    control_planes: tuple[Manifest, ...] = ()
    crds: Mapping[str, Manifest] = field(default_factory=dict)
    missing_crds: tuple[str, ...] = ()
    orphans: tuple[ReleaseRecord, ...] = ()
    left: Mapping[str, Manifest] = field(default_factory=dict)
    admitted: Mapping[ObjectKey, frozenset[tuple[Any, ...]]] = field(default_factory=dict)
    tags: Mapping[ObjectKey, Manifest] = field(default_factory=dict)
    wanted_tags: tuple[Manifest, ...] = ()
    istiods: tuple[ReleaseRecord, ...] = ()
    revision_users: RevisionUsers = field(default_factory=RevisionUsers)
    peers: tuple[PeerPolicy, ...] = ()
    peers_unseen: str = ""
    peers_denied: bool = False
    strangers: Mapping[ReleaseKey, str] = field(default_factory=dict)
    layered: PolicyFacts = field(default_factory=PolicyFacts)
    own_ca: OwnCaFacts | None = None
    lost_root: LostRoot | None = None
    restored: RestorationFacts | None = None

    def own(self, key: ObjectKey) -> Manifest | None:
        """What is there of an object that meshinstall itself makes: a namespace, a policy or a tag."""
        if key.kind == "Namespace":
            return self.namespaces.get(key.name)
        return self.policies.get(key) or self.layered.left.get(key) or self.live.get(key)


@dataclass(frozen=True, slots=True)
class Ask:
    """One permission; ``namespace`` is empty for the whole cluster."""

    verb: str
    group: str
    resource: str
    namespace: str = ""

    def __str__(self) -> str:
        """As ``kubectl auth can-i`` says it."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}{f' in {self.namespace}' if self.namespace else ''}"


@dataclass(frozen=True, slots=True)
class Shortage:
    """Pods of a release for which the nodes have no room; ``each`` and ``free`` (by node) say how much, in words."""

    release: ReleaseKey
    pods: int
    each: str
    free: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Users:
    """Pods of others by namespace: ``proxied`` by a control plane, ``elsewhere`` by another one, and ``plain`` ones without a proxy."""

    proxied: Mapping[str, int] = field(default_factory=dict)
    plain: Mapping[str, int] = field(default_factory=dict)
    elsewhere: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_proxied(self) -> Mapping[str, int]:
        """Those of every control plane: a policy of the root namespace is for all of them."""
        return {name: self.proxied.get(name, 0) + self.elsewhere.get(name, 0) for name in dict.fromkeys((*self.proxied, *self.elsewhere))}


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a run needs and may lack: permissions, schedulable nodes, pull secrets, room for pods.

    ``future_secrets`` are missing secrets whose namespace does not exist yet; ``shortages`` is also empty when the room is unknown.
    """

    denied: tuple[Ask, ...] = ()
    schedulable: int = 0
    missing_secrets: tuple[str, ...] = ()
    future_secrets: tuple[str, ...] = ()
    shortages: tuple[Shortage, ...] = ()
