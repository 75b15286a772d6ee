"""Finds releases at which somebody else's helm may be at work: a young pending revision that no run of ours left behind."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from meshinstall.engine.session import Session
from meshinstall.model.facts import Facts
from meshinstall.model.ownership import lease_path, summary_path
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import Manifest, ReleaseRecord

# As long as a run of ours has by default; helm's own is 5 minutes.
_LONGEST = timedelta(minutes=10)
# The summary of a run has whole seconds.
_ROUNDED = timedelta(seconds=1)


async def helms_at_work(plan: Plan, facts: Facts, session: Session) -> tuple[ReleaseRecord, ...]:
    """Pending revisions that may not be freed yet; asks nothing where none is young. Raises ClusterError."""
    pending = [facts.releases[step.release] for step in plan.pending if isinstance(step, ReleaseStep) and step.repair]
    if not (young := [record for record in pending if _is_young(record, session.now())]):
        return ()
    namespace = plan.mesh_namespace
    lease = await session.kube.get(lease_path(namespace))
    if ((lease or {}).get("spec") or {}).get("holderIdentity"):
        # A run of ours died with the lock, or is at work itself: then the lock tells.
        return ()
    summary = await session.kube.get(summary_path(namespace))
    return tuple(_not_left(young, summary))


def _not_left(records: Iterable[ReleaseRecord], summary: Manifest | None) -> Iterable[ReleaseRecord]:
    """Those that began after the last run of ours failed, or where none failed."""
    told = (summary or {}).get("data") or {}
    ended = _moment(told.get("finished", "")) if told.get("result", "done") != "done" else None
    return [record for record in records if ended is None or (_moment(record.updated) or ended) - ended > _ROUNDED]


def _is_young(record: ReleaseRecord, now: datetime) -> bool:
    began = _moment(record.updated)
    return began is not None and now - began < _LONGEST


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
