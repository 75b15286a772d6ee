"""What a snapshot says of a mesh, and what of it a restore makes again."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshinstall.model.gateway_config import GatewayConfig
from meshinstall.model.place import Place
from meshinstall.model.policy_kinds import PolicyKey
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey
from meshinstall.model.values import Origin, Values

# Characters of a label's value that name a snapshot, and what stands before those of a drill.
_MARK, _DRILL = 32, "drill-"


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object as somebody wanted it; ``keeper`` makes it again by itself, empty for one that nobody does."""

    manifest: Manifest
    keeper: str
    origin: Origin

    def __str__(self) -> str:
        """Such as VirtualService shop/web."""
        return str(PolicyObject("", self.manifest, {}))

    @property
    def name(self) -> str:
        """As options name it: VirtualService/shop/web."""
        return str(self).replace(" ", "/")


@dataclass(frozen=True, slots=True)
class KeptChart:
    """A chart with the file of the snapshot that is its archive."""

    chart: ChartRef
    file: str


@dataclass(frozen=True, slots=True)
class KeptRelease:
    """A release as it was resolved: ``own`` are values that options gave, which stand in no file."""

    key: ReleaseKey
    values: Values
    own: Values


@dataclass(frozen=True, slots=True)
class KeptGateway:
    """The Service of a gateway, and the addresses that it had."""

    namespace: str
    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """A Secret that was there: ``purpose`` and ``named_by`` say what for."""

    namespace: str
    name: str
    purpose: str
    named_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptPort:
    """A row of the verdict of that moment."""

    namespace: str
    workload: str
    port: int
    verdict: str

    def __str__(self) -> str:
        """``shop Deployment web port 8080``."""
        return f"{self.namespace} {self.workload} {f'port {self.port}' if self.port else 'other ports'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotContent:
    """What a snapshot says, whose bytes were checked.

    ``digest`` is that of its manifest in hex, ``which`` when it was taken and of what; ``roots`` and ``authority`` are SHA-256
    fingerprints of what workloads trusted, and of the CA's own certificates; ``sealed``: the CA is in it. ``serving`` is None in
    snapshots that do not have it; ``withheld`` are how many routes of each gateway are not in it, as they look like secrets.
    """

    digest: str
    which: str
    environment: str
    cloud: str
    cluster: str
    profile: str
    istio_version: str
    mesh_namespace: str
    trust_domain: str
    roots: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    authority_secret: str = ""
    sealed: bool = False
    objects: tuple[KeptObject, ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gateways: tuple[KeptGateway, ...] = ()
    serving: Mapping[str, GatewayConfig | str] | None = None
    withheld: Mapping[str, int] = field(default_factory=dict)
    secrets: tuple[KeptSecret, ...] = ()
    verdict: str = ""
    ports: tuple[KeptPort, ...] = ()
    charts: tuple[KeptChart, ...] = ()
    releases: tuple[KeptRelease, ...] = ()
    left_out: tuple[str, ...] = ()

    def mark(self, *, drill: bool) -> str:
        """What names the snapshot on the namespaces of a mesh that was made of it; a drill takes down what bears its own mark alone."""
        return f"{_DRILL if drill else ''}{self.digest[:_MARK]}"


@dataclass(frozen=True, slots=True)
class Restoration:
    """What a restore makes beside what the files describe.

    ``objects`` are applied, ``kept`` are left to those who keep them. ``namespaces`` get their labels of Istio after the policies.
    ``lost`` are policies that the snapshot left out, as they hold secrets. ``roots`` are what workloads trusted, ``opened`` the
    fingerprints of the CA that comes along, empty where none does; ``sealed``: there is one in the snapshot, whether it was opened or not.
    """

    mark: str
    objects: tuple[KeptObject, ...] = ()
    kept: tuple[KeptObject, ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    sealed: bool = False

    @property
    def is_drill(self) -> bool:
        """Whether it is taken away again."""
        return self.mark.startswith(_DRILL)


@dataclass(frozen=True, slots=True)
class RestorationFacts:
    """What a restore finds: names of Istio's objects that are not of the snapshot, kinds that are not served, and the CA that is there.

    ``refused`` are objects of the snapshot that break the schema of this Istio, each with why. ``missing`` are policies that are
    not there and that no run makes, and who would.
    """

    strangers: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    ca_secret: str = ""
    ca: tuple[str, ...] = ()
    ca_unread: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A mesh after a restore, as far as it is compared with its snapshot.

    ``objects`` are by group, kind, namespace and name, ``labels`` those of Istio of each namespace; ``bare`` are workloads without a proxy
    whose pods should have one. ``addresses`` are those of gateways by ``namespace/name``, ``lacking`` are Secrets of the snapshot that are
    not there. What could not be seen is in ``gaps``, by what it is of.
    """

    objects: Mapping[PolicyKey, Manifest] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    serving: Mapping[str, GatewayConfig | str] = field(default_factory=dict)
    roots: tuple[str, ...] = ()
    trust_domain: str = ""
    bare: tuple[Place, ...] = ()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lacking: tuple[KeptSecret, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=dict)
