"""The composition root: the only place that joins adapters to the engine."""

import getpass
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from meshinstall.config import lockfile
from meshinstall.config.project import Project
from meshinstall.engine.events import Emit
from meshinstall.engine.session import Session
from meshinstall.engine.status import Instruments
from meshinstall.errors import UsageError
from meshinstall.model.cluster import Access, Cloud, ClusterRef
from meshinstall.ports import Charts

Say = Callable[[str], None]


def open_session(cluster: ClusterRef, project: Project, say: Say) -> Session:
    """Reach the cluster and put the ports together; raises UsageError or ClusterError."""
    from meshinstall.adapters import kubeconfig
    from meshinstall.adapters.charts import ChartStore, default_cache
    from meshinstall.adapters.helm import PyHelm
    from meshinstall.adapters.kube import KubeClient
    from meshinstall.adapters.portforward import PodPorts
    from meshinstall.adapters.releases import HelmReleases
    from meshinstall.adapters.tokens import source_of

    if cluster.cloud is not Cloud.LOCAL:
        raise UsageError(
            f"--cloud {cluster.cloud} is not built into this version",
            "get a kubeconfig with the cloud's own command and use --cloud local",
        )
    config = kubeconfig.load(cluster.kubeconfig, cluster.context)
    tokens = source_of(config)
    kube = KubeClient(config, tokens)
    access = Access(config.context, config.server, cluster.kubeconfig, config.context)
    return Session(
        cluster=cluster.name or config.context,
        kube=kube,
        pods=PodPorts(config, tokens),
        helm=PyHelm(access),
        releases=HelmReleases(kube),
        charts=ChartStore(default_cache(), say),
        lock=lockfile.load(lock_path(project)),
        now=lambda: datetime.now(UTC),
        who=_who(),
        is_dead=_is_dead,
    )


def open_charts(say: Say) -> Charts:
    """The charts alone, for what needs no cluster."""
    from meshinstall.adapters.charts import ChartStore, default_cache

    return ChartStore(default_cache(), say)


def open_instruments(session: Session) -> Instruments:
    """What a status asks besides the session's ports."""
    from meshinstall.adapters.certificates import read_certificates
    from meshinstall.adapters.istiod import IstiodDebug

    return Instruments(IstiodDebug(session.pods).syncz, read_certificates)


def journal(session: Session, complain: Say) -> Emit:
    """A listener that keeps a run's events in the user's state folder."""
    from meshinstall.adapters.journal import Journal, default_folder

    return Journal(default_folder(), session.now, complain)


def lock_path(project: Project) -> Path:
    """Where the lock file stands: beside meshinstall.yaml."""
    return project.folder / "meshinstall.lock"


def _who() -> str:
    """``user@host/place/pid-start``: enough for a person, and for us to know our own dead."""
    return f"{getpass.getuser()}@{socket.gethostname()}/{_place()}/{os.getpid()}-{_started(os.getpid())}"


def _is_dead(holder: str) -> bool:
    """Whether ``holder`` was a process of this machine, since this boot and in this PID namespace, that is no more."""
    _, _, rest = holder.partition("/")
    place, _, process = rest.partition("/")
    pid, _, started = process.partition("-")
    return bool(place) and place == _place() and pid.isdigit() and _started(int(pid)) != started


def _place() -> str:
    """What tells apart all places with process numbers of their own; empty where that cannot be known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty when it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
