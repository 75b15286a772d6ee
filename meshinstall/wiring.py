"""The composition root: the only place that joins adapters to the engine."""

import hashlib
import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import Cloud, ClusterRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    # A credential plugin needs none of them, and its start is waited for.
    from meshinstall.adapters.kube.kubeconfig import Kubeconfig
    from meshinstall.adapters.kube.tokens import TokenSource
    from meshinstall.adapters.recovery.folder import Checked
    from meshinstall.adapters.recovery.opening import OpenSnapshot
    from meshinstall.config.project import Project
    from meshinstall.engine.events import Emit
    from meshinstall.engine.session import CloudSide, Session
    from meshinstall.model.cluster import Access, CloudCluster
    from meshinstall.model.doctor import Examination
    from meshinstall.model.wire import Call, Reply
    from meshinstall.ports import Charts, Commits, Dial, Helm, Kube, Provider, Published, Sealer, Signer, SnapshotDraft, Stream

Say = Callable[[str], None]


def open_session(cluster: ClusterRef, project: "Project", say: Say, tell: Say) -> "Session":
    """Reach the cluster and put the ports together; raises UsageError or ClusterError.

    ``say`` hears warnings, ``tell`` what a person should read that is none.
    """
    from meshinstall.adapters import certificates, machine
    from meshinstall.adapters.charts.store import ChartStore, default_cache
    from meshinstall.adapters.helm.client import PyHelm
    from meshinstall.adapters.helm.releases import HelmReleases
    from meshinstall.adapters.istiod import IstiodDebug
    from meshinstall.adapters.kube.client import KubeClient
    from meshinstall.adapters.kube.portforward import PodPorts
    from meshinstall.config import lockfile
    from meshinstall.engine.session import Session

    way = _local(cluster, say) if cluster.cloud is Cloud.LOCAL else _managed(cluster, say)
    kube = KubeClient(way.config, way.tokens, say)
    pods = PodPorts(way.config, way.tokens)
    here = machine.Machine()
    return Session(
        cluster=cluster.name or way.access.cluster,
        kube=kube,
        pods=pods,
        helm=PyHelm(way.access),
        releases=HelmReleases(kube),
        charts=ChartStore(default_cache(), say),
        istiod=IstiodDebug(pods),
        certificates=certificates,
        wire=_Wire(),
        chart_pins=lockfile.load(lock_path(project)),
        now=lambda: datetime.now(UTC),
        who=here.who(),
        is_dead=lambda holder: here.life(holder) is machine.Life.DEAD,
        is_alive=lambda holder: here.life(holder) is machine.Life.ALIVE,
        clock=machine.seconds,
        cloud=way.cloud,
        server=way.config.server,
        authority=_fingerprint(way.config.authority),
        tell=tell,
    )


def _fingerprint(authority: bytes | None) -> str:
    """Of the first certificate in PEM; empty when there is none."""
    if not authority:
        return ""
    first = authority.decode(errors="replace").partition("-----END CERTIFICATE-----")
    try:
        der = ssl.PEM_cert_to_DER_cert("".join(first[:2])[first[0].find("-----BEGIN CERTIFICATE-----") :])
    except ValueError:
        # What does not verify anything is refused where it is used.
        return ""
    return hashlib.sha256(der).hexdigest()


class _Wire:
    """Implements ports.WireProbe; what speaks TLS as a stranger is loaded when a port is tried, and a plan tries none."""

    def dial(self, roots: str, identity: str) -> "Dial":
        """Conversations with a mesh."""
        from meshinstall.adapters.wire.probes import dial

        return dial(roots, identity)

    def call(self, call: "Call") -> "Callable[[Stream], Reply]":
        """One request."""
        from meshinstall.adapters.wire.calls import speak

        return partial(speak, call=call)


class _Way(NamedTuple):
    """What our clients and helm need to reach a cluster."""

    config: "Kubeconfig"
    tokens: "TokenSource | None"
    access: "Access"
    cloud: "CloudSide | None" = None


def _local(cluster: ClusterRef, say: Say) -> _Way:
    from meshinstall.adapters.kube import kubeconfig
    from meshinstall.adapters.kube.tokens import source_of
    from meshinstall.model.cluster import Access

    config = kubeconfig.load(cluster.kubeconfig, cluster.context)
    if config.is_anonymous:
        say(f"the user of context {config.context!r} in the kubeconfig {config.source} has no credentials: requests are anonymous")
    tokens = source_of(config)
    # A plugin of the user's own may belong to any cloud.
    withheld = frozenset() if config.plugin else _secrets_of(*Cloud)
    return _Way(config, tokens, Access(config.context, config.server, _for_helm(config, tokens, cluster), config.context, withheld))


def _for_helm(config: "Kubeconfig", tokens: "TokenSource | None", cluster: ClusterRef) -> Path | None:
    """The kubeconfig for helm, which gets its values on standard input; None leaves it to read the same files by itself."""
    from meshinstall.adapters.cloud.exec_kubeconfig import write_private
    from meshinstall.adapters.kube import in_cluster, memory

    if config.pod:
        return write_private(in_cluster.document(config.pod))
    if tokens and config.plugin and not config.certificate and config.plugin.interactive == "Always" and memory.is_there():
        # helm has no terminal to run it on: it gets what our own run of it gave.
        file = memory.MemoryFile()
        tokens.tell(lambda token: file.write(memory.with_credential(config, token)))
        return file.path
    if config.piped is not None:
        return memory.MemoryFile(config.piped).path if memory.is_there() else write_private(config.piped.decode())
    return cluster.kubeconfig and cluster.kubeconfig.expanduser()


def _secrets_of(*clouds: Cloud) -> frozenset[str]:
    from meshinstall import catalog

    return frozenset().union(*(catalog.SECRET_VARIABLES.get(cloud, ()) for cloud in clouds))


def _managed(cluster: ClusterRef, say: Say) -> _Way:
    from meshinstall.adapters.cloud.access import reach
    from meshinstall.adapters.cloud.exec_kubeconfig import document, write_private
    from meshinstall.engine.session import CloudSide
    from meshinstall.model.cluster import Access

    asked = provider(cluster, say)
    found = asked.describe()
    way = reach(found, asked)
    chosen = asked.chosen()
    file = write_private(document(found, cluster, chosen))
    # A login of one cloud may rest on another's: workload identity federation of AWS.
    others = _secrets_of(*(cloud for cloud in Cloud if cloud is not cluster.cloud)) - frozenset(chosen.secrets)
    access = Access(way.config.context, way.config.server, file, way.config.context, others)
    return _Way(way.config, way.tokens, access, CloudSide(asked, found))


def open_kube(cluster: "CloudCluster", asked: ClusterRef, say: Say) -> "Kube":
    """The API of a cluster that was discovered with what ``asked`` says of the caller; raises UsageError or ClusterError."""
    from meshinstall.adapters.cloud.access import reach
    from meshinstall.adapters.kube.client import KubeClient

    named = replace(asked, name=cluster.name, selectors={**asked.selectors, **cluster.selectors})
    way = reach(cluster, provider(named, say))
    return KubeClient(way.config, way.tokens, say)


def exec_kubeconfig(cluster: ClusterRef, say: Say, tell: Say) -> str:
    """A kubeconfig without any secret for a managed cluster; ``tell`` hears whose it is. Raises UsageError or ClusterError."""
    from meshinstall.adapters.cloud.exec_kubeconfig import document

    asked = provider(cluster, say)
    # First, because a cluster may say more of the choice, such as its tenant.
    found = asked.describe()
    chosen = asked.chosen()
    if chosen.secrets:
        say(f"the kubeconfig holds no secret: it works only in a shell that has {', '.join(chosen.secrets)}")
    if chosen.by:
        tell(f"login of this kubeconfig: {chosen.by}")
    return document(found, cluster, chosen)


def examine(cluster: ClusterRef, say: Say) -> "Examination":
    """What a cloud answers to the questions of a run; raises UsageError when its SDK is not installed."""
    from meshinstall.adapters.net import surroundings
    from meshinstall.engine.report.doctor import look_at_cloud
    from meshinstall.model.doctor import Examination

    asked = provider(cluster, say)
    looks = tuple(look_at_cloud(asked, named=bool(cluster.name), now=datetime.now(UTC)))
    chosen = asked.chosen().variables if looks[0].ok else {}
    return Examination(cluster.cloud, looks, {**surroundings.variables(os.environ), **chosen}, surroundings.versions())


def provider(cluster: ClusterRef, say: Say) -> "Provider":
    """The cloud of a cluster; raises UsageError when its SDK is not installed, or when what is asked for does not name a cluster."""
    match cluster.cloud:
        case Cloud.AKS:
            _require("azure", "azure.identity", "azure.mgmt.containerservice")
            from meshinstall.adapters.aks.provider import AksProvider

            return AksProvider(cluster, say)
        case Cloud.EKS:
            _require("aws", "botocore")
            from meshinstall.adapters.eks.provider import EksProvider

            return EksProvider(cluster, say)
        case Cloud.GKE:
            _require("gcp", "google.auth", "google.cloud.container")
            from meshinstall.adapters.gke.provider import GkeProvider

            return GkeProvider(cluster, say)
        case Cloud.LOCAL:
            raise UsageError(
                "--cloud local has no cloud API", f"--cloud is one of {', '.join(one for one in Cloud if one is not Cloud.LOCAL)}"
            )


def _require(extra: str, *modules: str, needed_by: str = "--cloud") -> None:
    """Say how to get an optional package before its adapter trips over its absence."""
    from importlib.util import find_spec

    for module in modules:
        try:
            there = find_spec(module) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            raise UsageError(
                f"the Python package {module} is not installed, and {needed_by} needs it", f"pip install 'meshinstall[{extra}]'"
            )


def open_charts(say: Say) -> "Charts":
    """The charts alone, for what needs no cluster."""
    from meshinstall.adapters.charts.store import ChartStore, default_cache

    return ChartStore(default_cache(), say)


def open_helm() -> "Helm":
    """The helm program alone, for what it does without a cluster."""
    from meshinstall.adapters.helm.client import PyHelm

    return PyHelm()


def git() -> "Commits":
    """What reads files of commits."""
    from meshinstall.adapters import git as found

    return found


def open_published() -> "Published":
    """What reads the documents of identity providers."""
    from meshinstall.adapters.published import PublishedDocuments

    return PublishedDocuments()


def journal(session: "Session", complain: Say) -> "Emit":
    """A listener that keeps a run's events in the user's state folder."""
    from meshinstall.adapters.journal import Journal, default_folder

    return Journal(default_folder(), session.now, complain)


def draft_snapshot(target: Path) -> "AbstractContextManager[SnapshotDraft]":
    """A snapshot that is being made, at ``target`` when it is whole; raises UsageError."""
    from meshinstall.adapters.recovery.draft import drafting

    return drafting(target)


def read_chart_files(archive: Path) -> "Iterator[tuple[str, bytes]]":
    """Path and content of each file of a packed chart; raises ChartError."""
    from meshinstall.adapters.charts.archive import read_members

    return read_members(archive)


def load_signer(path: Path) -> "Signer":
    """The private key in a file; raises UsageError."""
    from meshinstall.adapters.recovery.signing import load_signer as load

    return load(path)


def age_sealer(recipients: "Sequence[str]") -> "Sealer":
    """What seals to recipients of age; raises UsageError where they cannot be read, or the package is not installed."""
    _require("recovery", "pyrage", needed_by="--include-authority")
    from meshinstall.adapters.recovery.sealing import AgeSealer

    return AgeSealer(recipients)


def check_snapshot(folder: Path, key: Path | None) -> "Checked":
    """The files of a snapshot that is what ``key`` signed, or without a key what its list says; raises SnapshotError and UsageError."""
    from meshinstall.adapters.recovery.folder import check

    return check(folder, key)


def open_snapshot(folder: Path, key: Path | None) -> "AbstractContextManager[OpenSnapshot]":
    """What such a folder holds, as long as the block lasts; raises SnapshotError and UsageError."""
    from meshinstall.adapters.recovery.opening import open_snapshot as opened

    return opened(folder, key)


def kept_charts(snapshot: "OpenSnapshot", beside: "Charts") -> "Charts":
    """The charts of a snapshot, and those of ``beside`` for any other."""
    from meshinstall.adapters.charts.kept import KeptCharts

    return KeptCharts(snapshot.folder, snapshot.content.charts, beside)


def lock_path(project: "Project") -> Path:
    """Where the lock file stands: beside meshinstall.yaml."""
    return project.folder / "meshinstall.lock"
