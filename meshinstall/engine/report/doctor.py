"""Asks a cloud what a run will ask it, and touches no cluster: as whom, what is visible, which permissions are missing."""

from collections.abc import Iterator
from datetime import datetime

from meshinstall.errors import MeshinstallError
from meshinstall.model.cluster import CloudCluster, Credential
from meshinstall.model.doctor import Look
from meshinstall.ports import Provider


def look_at_cloud(provider: Provider, *, named: bool, now: datetime) -> Iterator[Look]:
    """Every look, in the order in which a run needs the answers; ``named`` when one cluster is asked for. Blocking."""
    try:
        chosen = provider.chosen()
    except MeshinstallError as error:
        yield _failed("the login", error)
        return
    rests = f"; it rests on {', '.join(chosen.secrets)}" if chosen.secrets else ""
    yield Look("the login", ok=True, said=f"{chosen.by or 'what the SDK finds'}{rests}")
    yield from _at_one(provider, now) if named else _at_all(provider)


def _at_all(provider: Provider) -> Iterator[Look]:
    try:
        found = provider.discover()
    except MeshinstallError as error:
        yield _failed("list clusters", error)
        return
    if found.caller:
        yield Look("as whom", ok=True, said=str(found.caller))
    if found.clusters or not found.failures:
        yield Look(
            "list clusters", ok=True, said=", ".join(f"{one.name} ({one.location})" for one in found.clusters) or "no cluster is visible"
        )
    yield from (Look(f"list clusters of {place}", ok=False, said=why) for place, why in sorted(found.failures.items()))


def _at_one(provider: Provider, now: datetime) -> Iterator[Look]:
    try:
        cluster = provider.describe()
    except MeshinstallError as error:
        yield _failed("describe the cluster", error)
        return
    where = f"{cluster.endpoint.server} ({cluster.endpoint.kind})" if cluster.endpoint else "without an API server"
    yield Look("describe the cluster", ok=True, said=f"{cluster.name} in {cluster.location}, {cluster.version}, {cluster.status}, {where}")
    yield from _inspected(provider, cluster)
    try:
        yield _credential(provider.credential(), now)
    except MeshinstallError as error:
        yield _failed("a credential for the cluster", error)


def _inspected(provider: Provider, cluster: CloudCluster) -> Iterator[Look]:
    try:
        found = provider.inspect(cluster)
    except MeshinstallError as error:
        yield _failed("read what preflight judges", error)
        return
    if found.caller:
        yield Look("as whom", ok=True, said=str(found.caller))
    for what, unread in sorted(found.unread.items()):
        yield Look(f"read {what}", ok=False, said=f"needs {unread.permission}" if unread.permission else unread.why)
    if not found.unread:
        yield Look("read what preflight judges", ok=True, said="all of it")


def _credential(given: Credential, now: datetime) -> Look:
    """That there is one; never what it is."""
    kind = "a token" if given.token else "a client certificate"
    end = f", for {(given.expires - now).total_seconds() / 60:.0f} minutes" if given.expires else ""
    return Look("a credential for the cluster", ok=True, said=f"{kind}{end}")


def _failed(what: str, error: MeshinstallError) -> Look:
    return Look(what, ok=False, said=error.message, hint=error.hint)
