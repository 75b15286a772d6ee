"""The proxies of a mesh, as people and programs read them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from meshinstall.cli.output.tables import fitting
from meshinstall.model.foreign_text import for_log, in_lines
from meshinstall.model.mesh import SyncState
from meshinstall.model.proxy_list import ListedProxy, ProxyList, RolledBy

SCHEMA = "meshinstall.dev/proxies/v1"
# Lines of a part below the table.
_MOST = 20
_UNKNOWN = "unknown"
_SHORT = {RolledBy.UPGRADE: "upgrade"}
_GOOD = frozenset({SyncState.SYNCED, SyncState.UPDATING})


def proxies_text(listed: ProxyList) -> str:
    """One row for proxies that are alike; then what nobody rolls, what is not in sync, and what could not be read."""
    found = in_lines(listed)
    others = _others(found.others)
    if not found.proxies:
        lines = [f"No proxy of Istio runs on {found.cluster} (environment {found.environment}).{others}"]
    else:
        lines = [f"{_summary(found)}{others}", *_tables(found)]
        lines += _part("Not replaced by a restart, or only in part", _notes(found.proxies))
        lines += _part("Not in sync", _unsynced(found.proxies))
    lines += _part("Not read", found.gaps)
    return for_log("\n".join(lines))


def _summary(found: ProxyList) -> str:
    versions = Counter(one.version or _UNKNOWN for one in found.proxies)
    count = len(found.proxies)
    told = ", ".join(f"{number} of {version}" for version, number in versions.items())
    return f"{count} {'proxy' if count == 1 else 'proxies'} on {found.cluster} (environment {found.environment}): {told}."


def _others(count: int) -> str:
    return f" {count} more of another mesh {'is' if count == 1 else 'are'} not listed." if count else ""


def _tables(found: ProxyList) -> Iterator[str]:
    """A table for each revision and version."""
    of: dict[tuple[str, str], list[ListedProxy]] = {}
    for one in found.proxies:
        of.setdefault((one.version or "unknown version", one.revision), []).append(one)
    for (version, revision), some in of.items():
        yield from ("", f"{version}, revision {revision}: {len(some)}", *fitting(list(_rows(some, found.at))))


def _rows(some: Iterable[ListedProxy], now: datetime) -> Iterator[tuple[str, ...]]:
    yield "NAMESPACE", "WORKLOAD", "READY", "AGE", "STATE", "ROLLED BY"
    alike: dict[tuple[str, ...], list[ListedProxy]] = {}
    for one in some:
        key = one.workload.namespace, f"{one.kind} {one.workload.name}", _state(one), _SHORT.get(one.rolling.by, one.rolling.by)
        alike.setdefault(key, []).append(one)
    for (namespace, workload, state, by), pods in alike.items():
        yield namespace, workload, f"{sum(one.is_ready for one in pods)}/{len(pods)}", _ages(pods, now), state, by


def _state(one: ListedProxy) -> str:
    """What its istiod says of it."""
    return one.sync.value if one.is_connected else _UNKNOWN if one.is_connected is None else "not connected"


def _ages(some: Iterable[ListedProxy], now: datetime) -> str:
    """That of the oldest."""
    return age(max(now - one.created for one in some))


def age(passed: timedelta) -> str:
    """As kubectl has it, with one unit: ``41d``, ``5h``, ``12m``, ``8s``."""
    seconds = max(0, int(passed.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _part(heading: str, lines: Iterable[str]) -> list[str]:
    some = list(dict.fromkeys(lines))
    more = [f"  and {len(some) - _MOST} more: -o json lists them all"] if len(some) > _MOST else []
    return ["", f"{heading}:", *(f"  {one}" for one in some[:_MOST]), *more] if some else []


def _notes(proxies: Iterable[ListedProxy]) -> Iterator[str]:
    return (f"{one.kind} {one.workload}: {one.rolling.note}" for one in proxies if one.rolling.note)


def _unsynced(proxies: Iterable[ListedProxy]) -> Iterator[str]:
    return (
        f"{one.pod}: {one.sync_words or one.sync}" if one.is_connected else f"{one.pod}: no istiod lists it"
        for one in proxies
        if one.is_connected is not None and not (one.is_connected and one.sync in _GOOD)
    )


def proxies_json(listed: ProxyList) -> dict[str, Any]:
    """The document that docs/schemas/proxies.json describes."""
    found = in_lines(listed)
    return {
        "schema": SCHEMA,
        "environment": found.environment,
        "cluster": found.cluster,
        "at": found.at.isoformat(timespec="seconds"),
        "proxies": [_proxy_json(one, found.at) for one in found.proxies],
        "ofOtherMeshes": found.others,
        "gaps": list(found.gaps),
    }


def _proxy_json(one: ListedProxy, now: datetime) -> dict[str, Any]:
    return {
        "namespace": one.pod.namespace,
        "pod": one.pod.name,
        "version": one.version,
        "revision": one.revision,
        "role": one.carrier,
        "created": one.created.isoformat(timespec="seconds"),
        "ageSeconds": max(0, int((now - one.created).total_seconds())),
        "ready": one.is_ready,
        "connected": one.is_connected,
        "istiod": one.istiod,
        "state": one.sync if one.is_connected else None,
        "stateWords": one.sync_words,
        "workload": {"kind": one.kind, "name": one.workload.name},
        "rolledBy": one.rolling.by,
        "note": one.rolling.note,
    }
