"""What the engine asks of the outside world; adapters implement it, tests fake it."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from meshinstall.model.chart import ChartFiles
from meshinstall.model.cluster import Chosen, CloudCluster, Credential, Listing
from meshinstall.model.mesh import CertificateFacts
from meshinstall.model.own_ca import CaChain, CaParts
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey, ReleaseRecord
from meshinstall.model.snapshot import FileEntry, Signature
from meshinstall.model.status import CertificateTimes
from meshinstall.model.trial import Answer, Attempt, Ground, Kinds
from meshinstall.model.values import Values
from meshinstall.model.wire import Call, Probe, Reply, Seen, WireTarget

_Answer = TypeVar("_Answer")


class Charts(Protocol):
    """Finds charts in a registry, a repository or a folder."""

    async def resolve(self, chart: ChartRef) -> ChartRef:
        """The chart with the sha256 digest of its archive; raises ChartError."""

    async def versions(self, chart: ChartRef) -> tuple[str, ...]:
        """Every version of the chart that its source has; raises ChartError, also where it has none."""

    async def manifest(self, chart: ChartRef) -> str:
        """The digest by which a registry and what pulls from it know this archive; empty for other sources. Raises ChartError."""

    async def fetch(self, chart: ChartRef) -> Path:
        """Path of the verified archive (.tgz); raises ChartError when it is not the one that ``digest`` names."""

    async def read(self, chart: ChartRef) -> ChartFiles:
        """What the verified archive says of its values; raises ChartError."""


class Commits(Protocol):
    """Reads files of commits without checking them out. Every call raises UsageError."""

    def commit_of(self, folder: Path, ref: str) -> str:
        """The commit that ``ref`` names in the repository that holds ``folder``."""

    def fork_point(self, folder: Path, base: str, head: str) -> str:
        """The newest commit that both have."""

    def read_files(self, folder: Path, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """The plain files of a commit at or below these paths, which count from ``folder``."""

    def write_files(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Write them below a folder that is new and nobody else's."""


class Published(Protocol):
    """Reads what identity providers publish: their documents and their keys."""

    async def read(self, url: str) -> bytes:
        """The body at an https:// address, over TLS that is verified, without redirects; raises IdentityError."""


class Helm(Protocol):
    """The helm program, as far as releases are changed with it."""

    async def version(self) -> str:
        """Its version without the v, such as 4.3.1; raises HelmError when there is no usable helm."""

    async def upgrade(self, key: ReleaseKey, archive: Path, values: Values, *, description: str, force: bool = False) -> None:
        """Install or upgrade a release without waiting for its pods; cancelling kills helm.

        ``force`` takes fields over from other managers; without it they raise HelmConflictError, all else HelmError.
        """

    async def template(self, key: ReleaseKey, archive: Path, values: Values, ground: Ground, *, upgrade: bool = False) -> str:
        """The manifests that an install or ``upgrade`` on this ground would send, as YAML documents; raises HelmError."""

    async def uninstall(self, key: ReleaseKey) -> None:
        """Remove a release; raises HelmError."""


class Releases(Protocol):
    """Helm's own records in the cluster, read without starting helm."""

    async def newest(self, namespaces: Iterable[str]) -> Mapping[ReleaseKey, ReleaseRecord]:
        """The newest record of every release in these namespaces; raises ClusterError."""

    async def rivals(self, record: ReleaseRecord) -> str:
        """Why helm may go by another record than this one, in words; empty where it cannot. Raises ClusterError."""

    async def mark_failed(self, record: ReleaseRecord, reason: str) -> None:
        """Turn a record that a killed helm left pending into a failed one, so that it can be upgraded."""


class Kube(Protocol):
    """The Kubernetes API, objects as JSON. Every call has a deadline and raises ClusterError."""

    async def get(self, path: str) -> Manifest | None:
        """The object at ``path``, or None when there is none."""

    def list(self, path: str, *, labels: str = "", fields: str = "", metadata_only: bool = False) -> AsyncIterator[Manifest]:
        """The objects of a collection, page by page."""

    async def apply(self, path: str, body: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Server-side apply; raises ConflictError when another manager owns a field."""

    async def create(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object in a collection."""

    async def patch(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Merge ``body`` into an object, where null removes; with a resourceVersion in it, only into that version (else ConflictError)."""

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Delete an object; nothing when it is gone already. Raises ConflictError when it is another one than that with ``uid``."""

    async def attempt(self, attempt: Attempt) -> Answer:
        """A server-side dry run with strict validation: a refusal is an answer. Raises UnauthorizedError and UnreachableError."""

    async def kinds(self) -> Kinds:
        """Every kind that is served; empty where the API server does not tell them at once (before Kubernetes 1.30)."""


class Stream(Protocol):
    """The bytes to and from one port of a pod; blocking, for use in a thread."""

    def send(self, data: bytes) -> None:
        """Send all of ``data``; raises OSError."""

    def receive(self, size: int, seconds: float | None = None) -> bytes:
        """At most ``size`` bytes, at least one; empty at the end. Raises OSError, TimeoutError after ``seconds`` or the port's deadline."""


class Pods(Protocol):
    """Ports on the loopback of pods, reached through the API server's port-forward. Raises ClusterError."""

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """The body of an HTTP GET; anything but 200 is a ClusterError."""

    async def get_all(self, namespace: str, pod: str, port: int, paths: Sequence[str]) -> list[bytes | None]:
        """The bodies of several GETs, one after the other on one stream; None where there is nothing (404)."""

    async def talk(self, namespace: str, pod: str, port: int, talk: Callable[[Stream], _Answer]) -> _Answer:
        """Open a stream and run ``talk`` on it, in a thread."""


# Speaks on a stream to the client's listener, blocking, for use in a thread; raises OSError when the way there is broken.
Talk = Callable[[Stream], "Heard"]
# What to say for one probe of one port.
Dial = Callable[[WireTarget, Probe], Talk]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one connection brought.

    ``connected``: there was a TCP connection. ``held``: after the handshake it stayed open, as it does when something
    serves behind a proxy. ``again`` is another way to try that this one showed to be needed.
    """

    seen: Seen
    connected: bool = True
    held: bool = True
    again: Talk | None = None


class WireProbe(Protocol):
    """Speaks on the wire of a mesh, as a client of it and as a stranger."""

    def dial(self, roots: str, identity: str) -> Dial:
        """Conversations with a mesh that has these roots, in PEM, where the client has this SPIFFE name."""

    def call(self, call: Call) -> Callable[[Stream], Reply]:
        """One request, spoken on a stream to a client's listener, blocking; raises OSError when the way there is broken."""


class IstiodDebug(Protocol):
    """The debug endpoint of istiod's pods."""

    async def syncz(self, namespace: str, pod: str) -> list[Manifest]:
        """One record (istio: SyncStatus) for each proxy connected to the pod; raises ClusterError."""


class Certificates(Protocol):
    """Reads certificates in PEM; raises ClusterError for what it cannot read."""

    def read_certificates(self, pem: bytes) -> tuple[CertificateTimes, ...]:
        """When each certificate is valid."""

    def read_chain(self, pem: bytes, roots: bytes) -> tuple[CertificateFacts, ...]:
        """The certificates of a chain, each with the root among ``roots`` that it leads to."""

    def read_roots(self, pem: bytes) -> tuple[CertificateFacts, ...]:
        """Authorities that are trusted."""

    def read_ca(self, parts: CaParts, trust_domain: str, namespace: str) -> CaChain:
        """A CA that istiod in ``namespace`` should sign with."""


class Provider(Protocol):
    """One cloud, seen with the caller's own rights. Blocking: called in threads. Every call has a deadline and raises ClusterError."""

    def describe(self) -> CloudCluster:
        """The cluster that was asked for."""

    def credential(self) -> Credential:
        """A new short-lived credential for its API server."""

    def inspect(self, cluster: CloudCluster) -> CloudCluster:
        """The same cluster with what preflight judges in ``details``, in ``unread`` what could not be read, and ``caller``."""

    def chosen(self) -> Chosen:
        """What chose the caller's identity, without a request; raises UsageError."""

    def discover(self) -> Listing:
        """The clusters that the caller can see, and who that is."""


class SnapshotLines(Protocol):
    """A file of a snapshot with a line for each of many things, which are not kept in memory."""

    def add(self, key: str, line: bytes) -> None:
        """Add a line without its end; raises SnapshotError."""


class SnapshotDraft(Protocol):
    """The folder of a snapshot while it is made; nobody takes it for a whole one. Blocking; raises SnapshotError."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file."""

    def copy(self, path: str, source: Path) -> None:
        """Copy a file."""

    def lines(self, path: str) -> AbstractContextManager[SnapshotLines]:
        """A file of lines, written in the order of their keys at the end of the block."""

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file so far."""

    def publish(self, envelope: bytes) -> None:
        """Write the envelope and give the folder its name."""


class Signer(Protocol):
    """A private key."""

    def sign(self, message: bytes) -> Signature:
        """Sign with the key; raises SnapshotError."""


class Sealer(Protocol):
    """Recipients who alone can open what is sealed; ``recipients`` are their public keys, as text."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Public keys, as text."""

    def seal(self, secret: bytes) -> bytes:
        """Encrypt in memory; raises SnapshotError."""
