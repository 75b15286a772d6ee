"""The state of a mesh now: what ``meshinstall status`` shows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from meshinstall.model.facts import ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Component, ReleaseKey

# A certificate that expires this soon is worth a warning (linkerd check uses the same).
SOON = timedelta(days=60)
# Namespaces that are named.
_NAMED = 5
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})")


class Health(StrEnum):
    """Words of kstatus (sigs.k8s.io/cli-utils), the worst first."""

    FAILED = "Failed"
    NOT_FOUND = "NotFound"
    TERMINATING = "Terminating"
    IN_PROGRESS = "InProgress"
    CURRENT = "Current"


def worst(healths: Iterator[Health]) -> Health:
    """The worst of them; Current when there are none."""
    found = set(healths)
    return next((health for health in Health if health in found), Health.CURRENT)


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, DaemonSet or Service of a release; ``detail`` says why it is not Current.

    ``ready`` and ``wanted`` count pods; a Service has none. ``addresses`` are a Service's. ``kept_by`` is the engine that keeps it.
    """

    key: ObjectKey
    health: Health
    detail: str = ""
    ready: int = 0
    wanted: int = 0
    service_type: str = ""
    addresses: tuple[str, ...] = ()
    kept_by: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseHealth:
    """A release that the environment wants; the texts are empty when it is not installed.

    ``health`` is the worst of Helm's record and of the workloads. ``helm_status`` is empty where helm has no record of what is there.
    """

    key: ReleaseKey
    component: Component
    health: Health
    detail: str = ""
    chart: str = ""
    chart_version: str = ""
    istio_version: str = ""
    helm_status: str = ""
    workloads: tuple[Workload, ...] = ()

    @property
    def kept_by(self) -> tuple[str, ...]:
        """The GitOps engines that keep its workloads."""
        return tuple(dict.fromkeys(workload.kept_by for workload in self.workloads if workload.kept_by))


@dataclass(frozen=True, slots=True)
class StaleProxy:
    """A proxy that has not taken its configuration."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ProxyVersion:
    """How many proxies of a namespace have a version."""

    namespace: str
    version: str
    count: int


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies connected to istiod; those neither in sync nor stale are being updated.

    With ``unknown`` istiod could not be asked, for this reason, and the numbers mean nothing.
    """

    connected: int = 0
    in_sync: int = 0
    stale: tuple[StaleProxy, ...] = ()
    unknown: str = ""
    versions: tuple[ProxyVersion, ...] = ()

    def older(self, istio_version: str) -> str:
        """Which are older than istiod, and how they become as new, in a sentence; empty when none is."""
        wanted = _numbers(istio_version)
        old = [one for one in self.versions if wanted and (0,) < _numbers(one.version) < wanted]
        if not old:
            return ""
        count = sum(one.count for one in old)
        named = ", ".join(f"{plain(one.namespace)} ({one.count} of {plain(one.version)})" for one in old[:_NAMED])
        more = f" and {len(old) - _NAMED} more" if len(old) > _NAMED else ""
        who = "1 proxy is" if count == 1 else f"{count} proxies are"
        restart = "restart their pods: kubectl rollout restart deployment -n NAMESPACE"
        return f"{who} older than istiod {istio_version}, by namespace: {named}{more}; {restart}"


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version; none where it does not begin with three."""
    found = _VERSION.match(version)
    return tuple(map(int, found.groups())) if found else ()


@dataclass(frozen=True, slots=True)
class CertificateTimes:
    """Whose certificate it is and when it holds."""

    subject: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of the mesh, ``role`` root or CA, and the object it was read from; or why it is not known."""

    role: str
    source: str
    times: CertificateTimes | None = None
    unknown: str = ""

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires, negative afterwards; 0 when the expiry is unknown."""
        return (self.times.not_after - now).days if self.times else 0


@dataclass(frozen=True, slots=True)
class LastRun:
    """The summary that the last run left in the cluster."""

    run: str
    result: str
    finished: str
    by: str
    environment: str
    profile: str
    istio_version: str
    plan: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock of the mesh, since when, for what.

    ``is_dead`` and ``is_alive`` are what is known: of a run on another machine neither is, while it is not seen to renew the lock.
    """

    who: str
    since: str
    what: str
    is_dead: bool
    is_alive: bool = False


@dataclass(frozen=True, slots=True)
class MeshStatus:
    """The state of a mesh at the time ``now``; ``revision`` is the label istio.io/rev of istiod."""

    environment: str
    cluster: str
    now: datetime
    istio_version: str
    revision: str
    releases: tuple[ReleaseHealth, ...]
    proxies: Proxies
    certificates: tuple[Certificate, ...]
    last_run: LastRun | None
    holder: Holder | None

    @property
    def is_installed(self) -> bool:
        """Whether any release of the environment is there."""
        return any(release.chart for release in self.releases)

    @property
    def is_current(self) -> bool:
        """Whether all of it is installed and as it should be."""
        return self.is_installed and not any(self.problems())

    def problems(self) -> Iterator[str]:
        """What is wrong, in sentences, the worst first."""
        for release in sorted(self.releases, key=lambda one: list(Health).index(one.health)):
            if release.detail:
                yield f"{release.key}: {release.health}, {release.detail}"
            for workload in release.workloads:
                if workload.health is not Health.CURRENT:
                    yield f"{workload.key}: {workload.health}, {workload.detail}"
        for stale in self.proxies.stale:
            yield f"proxy {stale.name}: {stale.reason}"
        for certificate in self.certificates:
            if certificate.times and certificate.times.not_after <= self.now:
                yield f"the {certificate.role} certificate in {certificate.source} expired on {certificate.times.not_after:%Y-%m-%d}"

    def warnings(self) -> Iterator[str]:
        """What is unknown or soon needs attention, in sentences."""
        if self.proxies.unknown:
            yield f"cannot tell which proxies are in sync: {self.proxies.unknown}"
        if older := self.proxies.older(self.istio_version):
            yield older
        for release in self.releases:
            if release.chart and release.workloads and not release.helm_status and not release.kept_by:
                yield f"helm has no record of {release.key}, and no GitOps engine marked it: up does not take it for its own"
        for certificate in self.certificates:
            if certificate.unknown:
                yield f"cannot read the {certificate.role} certificate: {certificate.unknown}"
            elif certificate.times and self.now < certificate.times.not_after <= self.now + SOON:
                yield f"the {certificate.role} certificate in {certificate.source} expires in {certificate.days_left(self.now)} days"
        if self.last_run and self.last_run.result != "done":
            yield f"the last run {self.last_run.run} did not succeed: {self.last_run.result}"
        if self.holder:
            yield _held(self.holder)


def _held(holder: Holder) -> str:
    unknown = (
        "" if holder.is_alive or holder.is_dead else "; that run did not renew it while status watched, so it may be dead: up finds out"
    )
    return f"the lock is held{' by a dead run' if holder.is_dead else ''}: {holder.who} since {holder.since}{unknown}"
