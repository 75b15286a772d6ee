"""Counts what a gate saw and asked; pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from meshinstall.model.foreign_text import line
from meshinstall.model.gate import Snapshot, WebhookSeen
from meshinstall.model.istio_version import istio_version
from meshinstall.model.mesh import Dataplane
from meshinstall.model.tally import ProxyGroup, ProxyTally, Requests
from meshinstall.model.wire import Answer, Probe, Probing, Seen, WireTarget

_ENVOYS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})
_UNHEARD = frozenset({Answer.SILENT, Answer.FAILED})
# Characters of what an Envoy calls its version.
_LONGEST = 40


def proxy_tally(seen: Snapshot) -> ProxyTally:
    """How many proxies each revision and version has; a revision is that of the istiod that lists the proxy now."""
    envoys = [one for one in seen.workloads.values() if one.dataplane in _ENVOYS]
    counts: Counter[tuple[str, str]] = Counter()
    for workload in envoys:
        for alike in workload.proxies:
            counts[line(alike.revision), line(alike.version, _LONGEST)] += alike.count
    groups = [ProxyGroup(revision, version, count) for (revision, version), count in counts.items()]
    return ProxyTally(
        at=seen.at,
        groups=tuple(sorted(groups, key=_order)),
        not_ready=sum(one.pods - one.ready for one in envoys),
        is_whole=not seen.unread & {"Pod", "Namespace"},
    )


def _order(group: ProxyGroup) -> tuple[bool, tuple[int, ...], str, str]:
    """The oldest first; what has no version that can be compared last."""
    version = istio_version(group.version)
    return version is None, tuple(version[:3]) if version else (), group.version, group.revision


def connections(probing: Probing) -> Requests:
    """What probes tried, and what failed: a connection without an answer, a client of the mesh that is refused."""
    found = Requests()
    for target, seen in probing.seen.items():
        tried = tuple(_tried(seen))
        failures = tuple(_told(target, one) for one in tried if _has_failed(one))
        found += Requests(len(tried), len(failures), failures)
    return found


def questions(webhooks: Iterable[WebhookSeen], switched_off: Collection[str] = ()) -> Requests:
    """What webhooks were asked, and which failed; an injector that is ``switched_off`` is expected to."""
    found = Requests()
    for one in webhooks:
        if one.asked and one.revision not in switched_off:
            failures = (f"webhooks of revision {line(one.revision)}: {line(one.trouble)}",) if one.trouble else ()
            found += Requests(1, len(failures), failures)
    return found


def _tried(seen: tuple[Seen, ...]) -> Iterator[Seen]:
    """Without those that were not made, because the first found nobody to connect to: they repeat its words."""
    for number, one in enumerate(seen):
        if not number or (one.answer, one.words) != (seen[0].answer, seen[0].words):
            yield one


def _has_failed(seen: Seen) -> bool:
    return seen.answer in _UNHEARD or (seen.probe is Probe.MESHED and seen.answer is Answer.REFUSED)


def _told(target: WireTarget, seen: Seen) -> str:
    return line(f"{target.pod}:{target.port} ({seen.probe}): {seen.answer}{f', {seen.words}' if seen.words else ''}")
