"""What an Application of Argo CD says of itself, and why it may leave drift as it is; pure.

Sources: argo-cd: pkg/apis/application/v1alpha1/types.go (Application, AppProject, SyncWindow), docs/user-guide/auto_sync.md,
docs/user-guide/sync_windows.md, docs/user-guide/skip_reconcile.md.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from meshinstall.engine.objects.json_fields import at, flag, rows, table, text
from meshinstall.model.drift import Engine
from meshinstall.model.facts import ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import ARGO, Keeper
from meshinstall.model.policy_kinds import group_of
from meshinstall.model.release import Manifest
from meshinstall.model.windows import Kind, Window, covers, duration_words

_SKIP = "argocd.argoproj.io/skip-reconcile"
_HERE = frozenset({"https://kubernetes.default.svc", "https://kubernetes.default.svc:443"})
# A commit as Git names it; a chart's revision is a version or a digest.
_COMMIT = 40
_WORDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_FIELDS = 5
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")


def engine(application: Manifest, project: Manifest | None, now: datetime, commit: str = "") -> Engine:
    """An Application that keeps objects of the mesh; ``commit`` is that which is compared. Raises MalformedError for other shapes."""
    status, name = table(application.get("status")), name_of(application)
    revision = text(at(status, "sync", "revision")) or ", ".join(map(str, rows(at(status, "sync", "revisions"))))
    health = text(at(status, "health", "status"))
    says = ", ".join(plain(one) for one in (text(at(status, "sync", "status")) or "has not compared yet", health) if one)
    causes = (*_paused(application), *_automation(application), *_windows(application, project, now), *_failing(status))
    behind = (
        (f"it synced commit {revision[:12]}, and this compares with {commit[:12]}",)
        if commit and len(revision) == _COMMIT and revision != commit
        else ()
    )
    return Engine(name, says, plain(revision), (*causes, *behind))


def name_of(application: Manifest) -> str:
    """``Argo CD Application argocd/mesh``."""
    metadata = table(application.get("metadata"))
    return str(Keeper(ARGO, "Application", text(metadata.get("namespace")), text(metadata.get("name"))))


def is_for_here(application: Manifest, server: str) -> bool:
    """Whether its destination can be this cluster; one that is named may be any."""
    asked = text(at(application, "spec", "destination", "server")).rstrip("/")
    return not asked or asked in _HERE or asked == server.rstrip("/")


def says_of(application: Manifest, key: ObjectKey) -> str:
    """What it says of one object: Synced, OutOfSync; empty where it does not name it."""
    wanted = (group_of(key.api_version), key.kind, key.namespace, key.name)
    for one in rows(at(application, "status", "resources")):
        if isinstance(one, Mapping) and tuple(one.get(part) or "" for part in ("group", "kind", "namespace", "name")) == wanted:
            return plain(one.get("status") or "")
    return ""


def project_of(application: Manifest) -> tuple[str, str]:
    """Namespace and name of its project. Raises MalformedError for other shapes."""
    return text(at(application, "metadata", "namespace")), text(at(application, "spec", "project")) or "default"


def _paused(application: Manifest) -> Iterator[str]:
    if text(at(application, "metadata", "annotations", _SKIP)) == "true":
        yield f"it is suspended: annotation {_SKIP}"
    if at(application, "metadata", "deletionTimestamp"):
        yield "it is being deleted"


def _automation(application: Manifest) -> Iterator[str]:
    automated = at(application, "spec", "syncPolicy", "automated")
    # Since Argo CD 3.1 `enabled: false` switches it off in place.
    if automated is None or table(automated).get("enabled") is False:
        yield "it syncs by hand only: spec.syncPolicy.automated is off"
        return
    if not flag(table(automated).get("selfHeal")):
        yield "it leaves edits until Git changes: spec.syncPolicy.automated.selfHeal is off"
    if not flag(table(automated).get("prune")):
        yield "it leaves what is no longer in Git: spec.syncPolicy.automated.prune is off"


def _failing(status: Mapping[str, Any]) -> Iterator[str]:
    phase = text(at(status, "operationState", "phase"))
    if phase in {"Failed", "Error"}:
        yield f"its last sync failed: {plain(text(at(status, 'operationState', 'message')))}"
    for one in rows(status.get("conditions")):
        if text(table(one).get("type")).endswith("Error"):
            yield f"{plain(text(table(one).get('type')))}: {plain(text(table(one).get('message')))}"


def _windows(application: Manifest, project: Manifest | None, now: datetime) -> Iterator[str]:
    """Why it may not sync now: a window of its project that denies, or none open of those that allow."""
    windows = [table(one) for one in rows(at(project or {}, "spec", "syncWindows")) if _concerns(table(one), application)]
    allowed = [one for one in windows if text(one.get("kind")) == "allow"]
    try:
        denied = next((one for one in windows if text(one.get("kind")) == "deny" and _is_open(one, now)), None)
        is_shut = bool(allowed) and not any(_is_open(one, now) for one in allowed)
    except (ValueError, KeyError) as error:
        yield f"a sync window of its project cannot be read: {plain(error)}"
        return
    if denied is not None:
        yield f"a sync window denies it now: {_told(denied)}"
    elif is_shut:
        yield f"no sync window that allows it is open now: {_told(allowed[0])}"


def _concerns(window: Mapping[str, Any], application: Manifest) -> bool:
    """By the patterns that Argo CD looks at: any of the three kinds is enough, with ``andOperator`` all that there are."""
    target = table(at(application, "spec", "destination"))
    asked = {
        "applications": (text(at(application, "metadata", "name")),),
        "namespaces": (text(target.get("namespace")),),
        "clusters": (text(target.get("server")), text(target.get("name"))),
    }
    found = [
        any(fnmatchcase(name, text(pattern)) for pattern in rows(window.get(part)) for name in names if name)
        for part, names in asked.items()
        if rows(window.get(part))
    ]
    return bool(found) and (all(found) if flag(window.get("andOperator")) else any(found))


def _is_open(window: Mapping[str, Any], now: datetime) -> bool:
    schedule = text(window.get("schedule"))
    schedule = _WORDS.get(schedule, schedule)
    if len(schedule.split()) != _FIELDS:
        raise ValueError(f"schedule {schedule!r}")
    seconds = _seconds(text(window.get("duration")))
    zone = text(window.get("timeZone")) or "UTC"
    ZoneInfo(zone)
    from cronsim import CronSimError

    try:
        return covers(Window(Kind.ALLOW, schedule, timedelta(seconds=seconds), zone), now)
    except CronSimError as error:
        raise ValueError(f"schedule {schedule!r}: {error}") from error


def _seconds(told: str) -> float:
    """A duration as Go writes it: ``1h30m``."""
    found = _DURATION.fullmatch(told)
    if not (found and told):
        raise ValueError(f"duration {told!r}")
    hours, minutes, seconds = (int(one or 0) for one in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _told(window: Mapping[str, Any]) -> str:
    by_hand = ", except by hand" if flag(window.get("manualSync")) else ""
    words = duration_words(timedelta(seconds=_seconds(text(window.get("duration")))))
    zone = plain(text(window.get("timeZone")) or "UTC")
    return f"{plain(text(window.get('kind')))} {plain(text(window.get('schedule')))} for {words} {zone}{by_hand}"
