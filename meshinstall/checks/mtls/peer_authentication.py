"""Finds the PeerAuthentication that decides for a pod.

The rules are those of ComposePeerAuthentication (istio: pilot/pkg/security/authn/policy_applier.go, 1.31).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from meshinstall.checks.mtls.selecting import Selecting
from meshinstall.checks.mtls.watching import watches
from meshinstall.model.istio import DEFAULT_ROOT_NAMESPACE
from meshinstall.model.mesh import ControlPlane, MeshFacts, Mode, PeerPolicy, Pod


class Effective(NamedTuple):
    """The mode of one port and the object that sets it, None for Istio's own default; ``port_level`` when it is set for this port alone."""

    mode: Mode
    source: PeerPolicy | None
    port_level: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """What all policies together say to one pod; ``shadowed`` are those that an older one of the same scope puts out of effect."""

    mode: Mode
    source: PeerPolicy | None = None
    workload: PeerPolicy | None = None
    shadowed: tuple[tuple[PeerPolicy, PeerPolicy], ...] = ()

    def at(self, port: int) -> Effective:
        """The mode at a port of the pod, not of a Service; a port that is UNSET inherits."""
        mode = self.workload.ports.get(port, Mode.UNSET) if self.workload else Mode.UNSET
        return Effective(self.mode, self.source) if mode is Mode.UNSET else Effective(mode, self.workload, port_level=True)


@dataclass(frozen=True, slots=True)
class Policies:
    """The PeerAuthentications of a mesh, each namespace's in the order in which Istio looks at them.

    ``general`` are those without a selector, ``special`` the others. ``unsure`` are namespaces of which it is unknown whether istiod
    sees theirs, which are here nevertheless.
    """

    root_namespace: str
    revision: str = ""
    general: Mapping[str, tuple[PeerPolicy, ...]] = field(default_factory=dict)
    special: Mapping[str, Selecting[PeerPolicy]] = field(default_factory=dict)
    unsure: frozenset[str] = frozenset()

    @classmethod
    def of(cls, policies: Iterable[PeerPolicy], root_namespace: str, revision: str = "") -> "Policies":
        """Those that an istiod of a revision sees, "" for all, sorted once.

        Creation times have whole seconds, and of equal ones the name decides (istio: pilot/pkg/model/config.go).
        """
        found: dict[str, list[PeerPolicy]] = {}
        for policy in sorted(policies, key=lambda policy: (policy.created, policy.place.name)):
            if is_seen(policy.revision, revision):
                found.setdefault(policy.place.namespace, []).append(policy)
        general = {namespace: tuple(policy for policy in some if not policy.selector) for namespace, some in found.items()}
        special = {namespace: Selecting(some, lambda policy: policy.selector) for namespace, some in found.items()}
        return cls(root_namespace, revision, general, special)

    def sees(self, policy: PeerPolicy) -> bool:
        """Whether the istiod that these are for sees a policy."""
        return is_seen(policy.revision, self.revision)

    @property
    def mesh_wide(self) -> tuple[PeerPolicy, ...]:
        """Those for the whole mesh, the one that counts first."""
        return self.general.get(self.root_namespace, ())

    def merged(self, pod: Pod) -> Merged:
        """Merge for one pod: mesh, namespace, workload; the oldest of each scope alone counts and UNSET inherits."""
        mode, source = Mode.PERMISSIVE, None
        shadowed: list[tuple[PeerPolicy, PeerPolicy]] = []
        scopes = self.scopes(pod.place.namespace, pod.labels)
        for scope in scopes:
            if scope and scope[0].mode is not Mode.UNSET:
                mode, source = scope[0].mode, scope[0]
            shadowed += [(policy, scope[0]) for policy in scope[1:]]
        return Merged(mode, source, scopes[-1][0] if scopes[-1] else None, tuple(shadowed))

    def scopes(self, home: str, labels: Mapping[str, str]) -> tuple[tuple[PeerPolicy, ...], ...]:
        """The policies of the mesh, of a pod's namespace and for the pod itself, by its labels."""
        if home == self.root_namespace:
            return self.mesh_wide, (), ()
        workload = tuple(self.special[home].of(labels)) if home in self.special else ()
        return self.mesh_wide, self.general.get(home, ()), workload


def is_seen(label: str | None, revision: str) -> bool:
    """Whether an istiod of a revision sees an object with this label istio.io/rev (istio: pkg/config/model.go, LabelsInRevision)."""
    return label is None or not revision or label == revision


def policies_by_revision(facts: MeshFacts) -> Mapping[str, Policies]:
    """What each control plane sees, the first that it is for its revision; "" and all policies where none is known."""
    planes = {plane.revision: plane for plane in reversed(facts.control_planes)}
    return {name: _seen(plane, facts) for name, plane in planes.items()} or {"": Policies.of(facts.policies, DEFAULT_ROOT_NAMESPACE)}


def _seen(plane: ControlPlane, facts: MeshFacts) -> Policies:
    watched = {space: watches(plane, space, facts) for space in {policy.place.namespace for policy in facts.policies}}
    policies = (policy for policy in facts.policies if watched[policy.place.namespace] is not False)
    unsure = frozenset(space for space, seen in watched.items() if seen is None)
    return replace(Policies.of(policies, plane.root_namespace, plane.revision), unsure=unsure)


def revision_of(pod: Pod, facts: MeshFacts) -> str:
    """The revision of the istiod that a pod belongs to: its own, else that of the first; "" where none is known."""
    known = [plane.revision for plane in facts.control_planes]
    return pod.revision if pod.revision in known else next(iter(known), "")
