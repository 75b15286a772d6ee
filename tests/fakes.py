"""Fakes of the ports: a cluster in memory, with helm and charts, that a test can make misbehave."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import yaml

from meshinstall.adapters import certificates
from meshinstall.config.lockfile import Lock
from meshinstall.engine.session import Session
from meshinstall.errors import ChartError, ClusterError, HelmError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.facts import key_of
from meshinstall.model.mesh import CertificateFacts
from meshinstall.model.paths import KINDS, path_of
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey, ReleaseRecord, ReleaseStatus
from meshinstall.model.trial import Ground
from meshinstall.model.values import Values
from meshinstall.model.wire import Call, Reply
from meshinstall.ports import Dial, Stream
from tests.fake_kube import FakeKube, now


class FakeReleases:
    """Implements ports.Releases over ``records``."""

    def __init__(self, records: Iterable[ReleaseRecord] = ()) -> None:
        self.records = {record.key: record for record in records}
        self.freed: list[str] = []
        self.rival = ""

    async def rivals(self, record: ReleaseRecord) -> str:  # noqa: ARG002 - the port's
        """That of every release."""
        return self.rival

    async def newest(self, namespaces: Iterable[str]) -> Mapping[ReleaseKey, ReleaseRecord]:
        """The records in these namespaces."""
        wanted = set(namespaces)
        return {key: record for key, record in self.records.items() if key.namespace in wanted}

    async def mark_failed(self, record: ReleaseRecord, reason: str) -> None:
        """Turn a record into a failed one."""
        self.freed.append(str(record.key))
        self.records[record.key] = replace(record, status=ReleaseStatus.FAILED, description=reason)


class FakeHelm:
    """Implements ports.Helm: what ``brings`` names comes into the cluster, ready as ``settled`` makes it.

    ``before`` is awaited at the start of a release's upgrade or uninstall: it may sleep, or raise; ``after`` is called
    at the end of an upgrade. ``unrecorded`` are releases whose next upgrade succeeds and leaves its record pending.
    """

    def __init__(self, kube: FakeKube, releases: FakeReleases) -> None:
        self.brings: dict[ReleaseKey, tuple[Manifest, ...]] = {}
        self.renders: dict[ReleaseKey, Callable[[Values], tuple[Manifest, ...]]] = {}
        self.before: dict[ReleaseKey, Callable[[], Awaitable[None]]] = {}
        self.unusable = ""
        self.number = "4.3.1"
        self.unrecorded: list[ReleaseKey] = []
        self.after: dict[ReleaseKey, Callable[[], None]] = {}
        self.calls: list[str] = []
        self.sent: dict[ReleaseKey, Values] = {}
        self._kube = kube
        self._releases = releases

    async def version(self) -> str:
        """A good one, or HelmError with the words of ``unusable``."""
        if self.unusable:
            raise HelmError(self.unusable, "install it")
        return self.number

    async def upgrade(self, key: ReleaseKey, archive: Path, values: Values, *, description: str, force: bool = False) -> None:
        """Record the release and bring its objects."""
        found = self._releases.records.get(key)
        self.calls.append(f"upgrade {key}{' by force' if force else ''}")
        if found and found.status.is_pending:
            raise HelmError("another operation (install/upgrade/rollback) is in progress")
        if key in self.before:
            await self.before[key]()
        self.sent[key] = values
        name, _, version = archive.stem.rpartition("-")
        manifests = self.brings.get(key, ())
        self._kube.put(*(settled(manifest, key) for manifest in manifests))
        self._releases.records[key] = record(
            key, name, version, revision=found.revision + 1 if found else 1, values=values, description=description, manifests=manifests
        )
        if key in self.unrecorded:
            self.unrecorded.remove(key)
            self._releases.records[key] = replace(self._releases.records[key], status=ReleaseStatus.PENDING_INSTALL)
        if key in self.after:
            self.after[key]()

    async def template(self, key: ReleaseKey, archive: Path, values: Values, ground: Ground, *, upgrade: bool = False) -> str:  # noqa: ARG002
        """What ``renders`` makes of the values, else the manifests that ``brings`` names."""
        await self.version()
        made = self.renders[key](values) if key in self.renders else self.brings.get(key, ())
        return yaml.safe_dump_all(made)

    async def uninstall(self, key: ReleaseKey) -> None:
        """Remove the record and its objects, but for CRDs."""
        self.calls.append(f"uninstall {key}")
        if key in self.before:
            await self.before[key]()
        gone = self._releases.records.pop(key)
        for manifest in yaml.safe_load_all(gone.manifest):
            if manifest["kind"] != "CustomResourceDefinition":
                await self._kube.delete(path_of(key_of(manifest, key.namespace)))


@dataclass
class FakeCharts:
    """Implements ports.Charts: every chart is there but those ``missing``; its digest is made of its version."""

    missing: set[str] = field(default_factory=set)
    files: dict[str, ChartFiles] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    offered: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def resolve(self, chart: ChartRef) -> ChartRef:
        """The chart with a digest."""
        self._find("resolve", chart)
        return replace(chart, digest=digest_of(chart.name, chart.version))

    async def versions(self, chart: ChartRef) -> tuple[str, ...]:
        """Those that ``offered`` names, else the first of every minor."""
        self._find("versions", chart)
        return tuple(self.offered.get(chart.name, ("1.30.0", "1.31.0")))

    async def manifest(self, chart: ChartRef) -> str:
        """None: what is asked is no registry."""
        self._find("manifest", chart)
        return ""

    async def fetch(self, chart: ChartRef) -> Path:
        """A path that names it."""
        self._find("fetch", chart)
        return Path(f"/charts/{chart.name}-{chart.version}.tgz")

    async def read(self, chart: ChartRef) -> ChartFiles:
        """Its files, or a chart that takes any value."""
        self._find("read", chart)
        return self.files.get(chart.name) or ChartFiles({"name": chart.name, "version": chart.version}, "{}")

    def _find(self, verb: str, chart: ChartRef) -> None:
        self.asked.append(f"{verb} {chart.name}")
        if chart.name in self.missing:
            raise ChartError(f"chart {chart.name} {chart.version} is not in {chart.source}")


class FakePods:
    """Ports of pods: ``answers`` maps (namespace, pod, port, path) to a body; a ``refusal`` is raised for all, no other answers."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str, int, str], bytes] = {}
        self.refusal: ClusterError | None = None

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """The body that was put there, or the error of all that is asked."""
        if self.refusal:
            raise self.refusal
        try:
            return self.answers[namespace, pod, port, path]
        except KeyError:
            raise ClusterError(f"no port-forward to pod {namespace}/{pod}") from None

    async def get_all(self, namespace: str, pod: str, port: int, paths: Sequence[str]) -> list[bytes | None]:
        """The bodies that were put there."""
        return [await self.get(namespace, pod, port, path) for path in paths]

    async def talk(self, namespace: str, pod: str, port: int, talk: Callable[[Stream], Any]) -> Any:
        """No stream can be opened."""
        raise ClusterError(f"no port-forward to pod {namespace}/{pod}: {port}, {talk}")


class FakeIstiod:
    """Implements ports.IstiodDebug over the ``records`` of each pod; an error among them is raised."""

    def __init__(self, records: dict[str, list[Manifest] | ClusterError] | None = None) -> None:
        self.records = records if records is not None else {}

    async def syncz(self, namespace: str, pod: str) -> list[Manifest]:  # noqa: ARG002 - the port's
        """The records of a pod."""
        await anyio.lowlevel.checkpoint()
        found = self.records[pod]
        if isinstance(found, ClusterError):
            raise found
        return found


class FakeCertificates:
    """Implements ports.Certificates by the real reader; ``chains`` are those that were read."""

    read_ca = staticmethod(certificates.read_ca)
    read_certificates = staticmethod(certificates.read_certificates)
    read_roots = staticmethod(certificates.read_roots)

    def __init__(self) -> None:
        self.chains: list[bytes] = []

    def read_chain(self, pem: bytes, roots: bytes) -> tuple[CertificateFacts, ...]:
        """The chain, read and kept."""
        self.chains.append(pem)
        return certificates.read_chain(pem, roots)


class FakeWire:
    """Implements ports.WireProbe by ``dialled`` and ``replies``; without them nothing may be tried."""

    def __init__(self, dialled: Callable[[str, str], Dial] | None = None, replies: Callable[[Call], Reply] | None = None) -> None:
        self._dialled = dialled
        self._replies = replies

    def dial(self, roots: str, identity: str) -> Dial:
        """What ``dialled`` makes of it."""
        assert self._dialled, "no port was to be tried"
        return self._dialled(roots, identity)

    def call(self, call: Call) -> Callable[[Stream], Reply]:
        """The reply to it."""
        replies = self._replies
        assert replies, "nothing was to be called"
        return lambda _: replies(call)


class World:
    """One cluster with all its ports; ``dead`` and ``alive`` are holders of a lock that are known to be so."""

    def __init__(self) -> None:
        self.kube = FakeKube()
        self.pods = FakePods()
        self.releases = FakeReleases()
        self.helm = FakeHelm(self.kube, self.releases)
        self.charts = FakeCharts()
        self.istiod = FakeIstiod()
        self.certificates = FakeCertificates()
        self.wire = FakeWire()
        self.dead: set[str] = set()
        self.alive: set[str] = set()

    def session(self, who: str = "ann@laptop/7-1") -> Session:
        """What the engine gets of it."""
        return Session(
            cluster="kind-dev",
            kube=self.kube,
            pods=self.pods,
            helm=self.helm,
            releases=self.releases,
            charts=self.charts,
            istiod=self.istiod,
            certificates=self.certificates,
            wire=self.wire,
            chart_pins=Lock(()),
            now=now,
            who=who,
            is_dead=self.dead.__contains__,
            is_alive=self.alive.__contains__,
        )


def digest_of(name: str, version: str) -> str:
    """A digest that looks like one and differs by chart and version."""
    return f"sha256:{(name + version).encode().hex():0<64.64}"


def record(key: ReleaseKey, chart: str, version: str = "1.31.0", manifests: Iterable[Manifest] = (), **fields: Any) -> ReleaseRecord:
    """A record of helm; deployed, first revision, unless ``fields`` say otherwise."""
    told: dict[str, Any] = {"revision": 1, "status": ReleaseStatus.DEPLOYED, "values": {}, "description": "", "updated": "2026-11-20"}
    return ReleaseRecord(
        key=key, chart=chart, version=version, app_version=version, manifest=yaml.safe_dump_all(manifests), **(told | fields)
    )


def settled(manifest: Manifest, release: ReleaseKey) -> dict[str, Any]:
    """An object as it stands some seconds after helm made it: labelled, and Current."""
    live = deepcopy(dict(manifest))
    metadata = live["metadata"] = dict(live["metadata"])
    if KINDS[live["kind"]][1]:
        metadata.setdefault("namespace", release.namespace)
    helms = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": release.name}
    metadata["labels"] = {**(metadata.get("labels") or {}), **helms}
    owner = {"meta.helm.sh/release-name": release.name, "meta.helm.sh/release-namespace": release.namespace}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **owner}
    pods = (live.get("spec") or {}).get("replicas", 1)
    status: dict[str, dict[str, Any]] = {
        "Deployment": {"observedGeneration": 1, "replicas": pods, "updatedReplicas": pods, "availableReplicas": pods},
        "Service": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}},
        "CustomResourceDefinition": {"conditions": [{"type": "Established", "status": "True"}]},
    }
    return {"status": status[live["kind"]], **live} if live["kind"] in status else live
