"""What a mesh should look like: the result of resolving the configuration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meshinstall.model.acceptance import Acceptance
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.finding import Finding
from meshinstall.model.identity import IdentityProvider
from meshinstall.model.own_ca import OwnCa
from meshinstall.model.release import ChartRef, Component, Manifest, ReleaseKey
from meshinstall.model.restoring import Restoration
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Origin
from meshinstall.model.waves import Wave
from meshinstall.model.windows import Windows


class MtlsMode(StrEnum):
    """Mode of the mesh-wide PeerAuthentication; PERMISSIVE also lets plaintext in."""

    STRICT = "STRICT"
    PERMISSIVE = "PERMISSIVE"


@dataclass(frozen=True, slots=True)
class Release:
    """A Helm release that should exist."""

    key: ReleaseKey
    component: Component
    chart: ChartRef
    values: ValuesStack
    needs: tuple[ReleaseKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """An Istio object that is applied after the releases; ``places`` say where each of its values was written, if it is known."""

    manifest: Manifest
    origin: Origin
    places: Mapping[KeyPath, Origin] = field(default_factory=dict)

    def origin_of(self, path: Iterable[object]) -> Origin:
        """Where a value was written, or the nearest that holds it."""
        names = tuple(str(part) for part in path)
        return next((self.places[names[:end]] for end in range(len(names), 0, -1) if names[:end] in self.places), self.origin)


@dataclass(frozen=True, slots=True)
class DesiredNamespace:
    """A namespace that must exist before the first release in it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything that should exist; ``releases`` stand in install order, each after what it needs.

    With an ``acceptance`` the mesh-wide policy is PERMISSIVE as planned. ``version_origin`` is where ``istio_version`` is written, which
    may be a minor until it is settled; ``version_choice`` says then which version it stands for, and why. ``revision`` is empty on a mesh
    without revisions; ``tags`` are those that point to it, and ``revision_origin`` is where revisions are asked for. ``waves`` are
    those in which an upgrade restarts workloads; without any their owners do. ``windows`` are those of its nightly upgrades.
    ``layered`` are the objects of policies/ and of a baseline, and those of ours that are not among them go; None is for work that leaves
    all of them as they are.
    ``identity`` are the providers whose tokens policies go by. ``ca`` is what istiod signs with; with None it makes its own.
    ``restored`` is what a restore makes beside all that.
    """

    environment: str
    cloud: Cloud
    cluster: ClusterRef
    profile: str
    istio_version: str
    mesh_namespace: str
    namespaces: tuple[DesiredNamespace, ...]
    releases: tuple[Release, ...]
    policies: tuple[Policy, ...]
    warnings: tuple[Finding, ...] = ()
    acceptance: Acceptance | None = None
    version_origin: str = ""
    version_choice: str = ""
    revision: str = ""
    tags: tuple[str, ...] = ()
    revision_origin: str = ""
    waves: tuple[Wave, ...] = ()
    windows: Windows = field(default_factory=Windows)
    layered: tuple[Policy, ...] | None = None
    identity: tuple[IdentityProvider, ...] = ()
    ca: OwnCa | None = None
    restored: Restoration | None = None

    @property
    def istiod(self) -> "Release | None":
        """The release of istiod; None for a mesh without one."""
        return next((release for release in self.releases if release.component is Component.ISTIOD), None)

    @property
    def restored_namespaces(self) -> frozenset[str]:
        """Those that a restore makes where they are not there: with labels, with objects of the snapshot, or with policies of files."""
        if self.restored is None:
            return frozenset()
        manifests = [one.manifest for one in self.restored.objects] + [one.manifest for one in self.layered or ()]
        return frozenset({*self.restored.namespaces, *(str(one["metadata"].get("namespace", "")) for one in manifests)} - {""})

    def restored_labels(self, namespace: str) -> dict[str, str]:
        """Labels that a restore gives a namespace: those of the snapshot, and over them what the files say for this cluster."""
        kept = self.restored.namespaces.get(namespace, {}) if self.restored else {}
        return {**kept, **next((dict(one.labels) for one in self.namespaces if one.name == namespace), {})}
