"""Where a mesh stands between revisions: its istiods, and who uses which."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshinstall.model.release import ReleaseKey


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """One istiod of a mesh.

    ``release`` is None where helm did not install it. ``version`` is that of Helm's record, ``runs`` is what its Deployment says; each may
    be empty.
    """

    name: str
    revision: str
    version: str
    runs: str = ""
    release: ReleaseKey | None = None
    is_ours: bool = False

    def __str__(self) -> str:
        """For people: ``istio-system/istiod (1.30.4, revision default)``."""
        return f"{self.name} ({self.version or self.runs or 'unknown version'}, revision {self.revision})"


@dataclass(frozen=True, slots=True)
class RevisionUsers:
    """Who uses which revision; each is empty where nobody does, or where it is unknown.

    ``default`` serves istio-injection=enabled, ``validator`` checks Istio's objects; ``namespaces`` are by revision, through tags.
    """

    default: str = ""
    validator: str = ""
    namespaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """The istiods of a mesh, older before newer, the revision that the configuration wants, and who uses which."""

    planes: tuple[ControlPlane, ...]
    wanted: str
    users: RevisionUsers
    gateways: Mapping[str, tuple[str, ...]]

    @property
    def others(self) -> tuple[ControlPlane, ...]:
        """Istiods of another revision than is wanted."""
        return tuple(plane for plane in self.planes if plane.revision != self.wanted)

    @property
    def stage(self) -> str:
        """How far the newest istiod has come, by what leads to it: what is moved last tells most."""
        oldest, newest = self.planes[0].revision, self.planes[-1].revision
        if oldest == newest:
            return "retire"
        left = self.users.default == oldest or bool(self.users.namespaces.get(oldest)) or bool(self.gateways.get(oldest))
        if self.users.validator == newest:
            return "waves" if left else "retire"
        if self.users.default == newest:
            return "tags"
        return "gateways" if self.gateways.get(newest) else "control-plane"
