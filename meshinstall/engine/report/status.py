"""Reads the status of an installed mesh: its releases, their health, its proxies and certificates, and the last run."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from meshinstall.engine.gates.proxies import ask_proxies
from meshinstall.engine.mesh.ca_objects import ca_of, roots_of
from meshinstall.engine.objects import readiness
from meshinstall.engine.objects.field_managers import by, scaled_by
from meshinstall.engine.objects.json_fields import MalformedError
from meshinstall.engine.objects.release_manifest import objects
from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.observe.looks import get_or_none
from meshinstall.engine.observe.run_holder import watched_holder
from meshinstall.engine.observe.unrecorded import Unrecorded, find_unrecorded
from meshinstall.engine.run.waiting import reasons
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.desired import Desired, Release
from meshinstall.model.facts import ObjectKey
from meshinstall.model.istio import CA_SECRETS, ISTIOD_SELECTOR, ROOT_CERTIFICATE
from meshinstall.model.labels import REVISION
from meshinstall.model.ownership import kept_by, lease_path, recorded_environment, summary_path
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.release import Component, Manifest, ReleaseRecord, ReleaseStatus, readable
from meshinstall.model.status import (
    Certificate,
    Health,
    LastRun,
    MeshStatus,
    ReleaseHealth,
    Workload,
    worst,
)


async def look(desired: Desired, session: Session) -> MeshStatus:
    """Ask everything at the same time; changes nothing. Raises ClusterError when Helm's records cannot be read."""
    namespace = desired.mesh_namespace
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "releases": lambda: _releases(desired, session),
        "revision": lambda: _revision(desired, session),
        "proxies": lambda: ask_proxies(session, namespace),
        "root": lambda: _root(session, namespace),
        "ca": lambda: _authority(session, namespace),
        "summary": lambda: get_or_none(session.kube, summary_path(namespace)),
        "holder": lambda: watched_holder(session, lease_path(namespace)),
    }
    async with explaining(session, desired):
        answers = await gather(asks, lambda name: asks[name]())
    releases: tuple[ReleaseHealth, ...] = answers["releases"]
    return MeshStatus(
        environment=desired.environment,
        cluster=desired.cluster.name,
        now=session.now(),
        istio_version=next((release.istio_version for release in releases if release.component is Component.ISTIOD), ""),
        revision=answers["revision"],
        releases=releases,
        proxies=answers["proxies"],
        certificates=(*answers["root"], *answers["ca"]),
        last_run=last_run(answers["summary"]),
        holder=answers["holder"],
    )


async def _releases(desired: Desired, session: Session) -> tuple[ReleaseHealth, ...]:
    told = await session.releases.newest([namespace.name for namespace in desired.namespaces])
    records = readable(told, (release.key for release in desired.releases))
    releases = {release.key: release for release in desired.releases}
    found = await gather(releases, lambda key: _release(session, releases[key], records.get(key), desired.environment))
    return tuple(found[key] for key in releases)


async def _release(session: Session, release: Release, record: ReleaseRecord | None, environment: str) -> ReleaseHealth:
    if record and record.status is not ReleaseStatus.UNINSTALLED:
        return release_health(release, record, await _workloads(session, record), environment)
    applied = await find_unrecorded(session.kube, release)
    if applied is None:
        return release_health(release, record, (), environment)
    seen = await gather(applied.live, lambda key: _judged(session, key, applied.live[key]))
    return unrecorded_health(release, applied, tuple(seen[key] for key in applied.live))


def unrecorded_health(release: Release, applied: Unrecorded, workloads: tuple[Workload, ...]) -> ReleaseHealth:
    """The health of what an engine or kubectl applied: of the workloads alone."""
    health = worst(each.health for each in workloads)
    return ReleaseHealth(release.key, release.component, health, "", applied.chart, applied.version, applied.version, "", workloads)


async def _workloads(session: Session, record: ReleaseRecord) -> tuple[Workload, ...]:
    manifests = objects(record)
    keys, empty = readiness.watched(manifests, record.key), readiness.empty(manifests, record.key)
    found = await gather(keys, lambda key: _workload(session, key, may_be_empty=key in empty))
    return tuple(found[key] for key in keys)


async def _workload(session: Session, key: ObjectKey, *, may_be_empty: bool) -> Workload:
    return await _judged(session, key, await session.kube.get(path_of(key)), may_be_empty=may_be_empty)


async def _judged(session: Session, key: ObjectKey, live: Manifest | None, *, may_be_empty: bool = False) -> Workload:
    if live is None or not readiness.unready(live, key.kind, may_be_empty=may_be_empty):
        return workload(key, live, (), may_be_empty=may_be_empty)
    return workload(key, live, [trouble async for trouble in reasons(session, key, live)])


def workload(key: ObjectKey, live: Manifest | None, troubles: Iterable[readiness.Trouble], *, may_be_empty: bool = False) -> Workload:
    """The health of an object; ``troubles`` are what is known of its pods. Without pods it is Current only where it ``may_be_empty``."""
    if live is None:
        return Workload(key, Health.NOT_FOUND, "Helm's record lists it, but the cluster does not have it")
    spec, status = live.get("spec") or {}, live.get("status") or {}
    if key.kind == "DaemonSet":
        ready, wanted = status.get("numberAvailable", 0), status.get("desiredNumberScheduled", 0)
    else:
        ready, wanted = status.get("availableReplicas", 0), spec.get("replicas", 1)
    if key.kind == "Service":
        ready = wanted = 0
    health, detail = _health(live, key.kind, list(troubles), may_be_empty=may_be_empty)
    addresses = tuple(_addresses(live)) if key.kind == "Service" else ()
    return Workload(key, health, detail, ready, wanted, spec.get("type", ""), addresses, kept_by(live))


def _health(live: Manifest, kind: str, troubles: list[readiness.Trouble], *, may_be_empty: bool) -> tuple[Health, str]:
    waits = readiness.unready(live, kind, may_be_empty=may_be_empty)
    if not waits:
        return Health.CURRENT, ""
    if kind in readiness.SCALED and (live.get("spec") or {}).get("replicas") == 0 and "deletionTimestamp" not in live["metadata"]:
        return Health.FAILED, f"{waits}{by(scaled_by(live))}; meshinstall up puts it back"
    why = "; ".join(dict.fromkeys(trouble.text for trouble in troubles)) or waits
    if "deletionTimestamp" in live["metadata"]:
        return Health.TERMINATING, waits
    conditions = (live.get("status") or {}).get("conditions") or ()
    given_up = any(condition.get("reason") == "ProgressDeadlineExceeded" for condition in conditions)
    hopeless = any(trouble.hopeless for trouble in troubles)
    return (Health.FAILED if given_up or hopeless else Health.IN_PROGRESS), why


def _addresses(service: Manifest) -> Iterator[str]:
    """How a Service is reached: the load balancer's addresses, else the one inside the cluster."""
    if service["spec"].get("type") == "LoadBalancer":
        for point in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            yield point.get("ip") or point.get("hostname") or ""
    elif (inside := service["spec"].get("clusterIP", "")) not in {"", "None"}:
        yield inside


def release_health(release: Release, record: ReleaseRecord | None, workloads: tuple[Workload, ...], environment: str = "") -> ReleaseHealth:
    """The health of a release: of Helm's record, and of what it brought. Another environment's than ``environment`` is not Current."""
    if record is None or record.status is ReleaseStatus.UNINSTALLED:
        return ReleaseHealth(release.key, release.component, Health.NOT_FOUND, "it is not installed")
    health, detail = Health.CURRENT, ""
    if record.status.is_pending:
        health, detail = Health.IN_PROGRESS, f"helm is running or was interrupted ({record.status} since {record.updated})"
    elif record.status is not ReleaseStatus.DEPLOYED:
        health, detail = Health.FAILED, f"its last revision is {record.status}: {record.description}"
    elif (other := recorded_environment(record)) and environment and other != environment:
        health, detail = Health.FAILED, f"it is environment {other}'s, not {environment}'s"
    return ReleaseHealth(
        release.key,
        release.component,
        worst(iter((health, *(each.health for each in workloads)))),
        detail,
        record.chart,
        record.version,
        record.app_version,
        record.status,
        workloads,
    )


async def _revision(desired: Desired, session: Session) -> str:
    """What istiod's Deployment says of its revision; empty when there is none."""
    for release in desired.releases:
        if release.component is Component.ISTIOD:
            path = object_path("apps/v1", "deployments", release.key.namespace)
            async for live in session.kube.list(path, labels=f"{ISTIOD_SELECTOR},release={release.key.name}"):
                return str((live["metadata"].get("labels") or {}).get(REVISION, ""))
    return ""


async def _root(session: Session, namespace: str) -> tuple[Certificate, ...]:
    source = f"ConfigMap {namespace}/{ROOT_CERTIFICATE}"
    try:
        live = await session.kube.get(object_path("v1", "configmaps", namespace, ROOT_CERTIFICATE))
        if live is None:
            return (Certificate("root", source, unknown=f"{source} does not exist"),)
        return tuple(Certificate("root", source, times) for times in session.certificates.read_certificates(roots_of(live)))
    except (ClusterError, MalformedError) as error:
        return (Certificate("root", source, unknown=str(error)),)


async def _authority(session: Session, namespace: str) -> tuple[Certificate, ...]:
    """The certificate that istiod signs with; of the Secret, nothing but the certificate is looked at."""
    for name in CA_SECRETS:
        source = f"Secret {namespace}/{name}"
        try:
            secret = await session.kube.get(object_path("v1", "secrets", namespace, name))
            if signer := ca_of(secret or {}).signer:
                return tuple(Certificate("CA", source, times) for times in session.certificates.read_certificates(signer)[:1])
        except (ClusterError, ValueError) as error:
            return (Certificate("CA", source, unknown=str(error)),)
    return (
        Certificate("CA", "", unknown=f"no Secret {' or '.join(CA_SECRETS)} in {namespace}: istiod uses an external CA, or has none yet"),
    )


def last_run(summary: Manifest | None) -> LastRun | None:
    """What the summary in the cluster says."""
    data = (summary or {}).get("data")
    if not data:
        return None
    keys = ("run", "result", "finished", "by", "environment", "profile", "istioVersion", "plan")
    return LastRun(*(str(data.get(key, "")) for key in keys))
