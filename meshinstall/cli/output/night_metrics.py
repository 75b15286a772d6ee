"""A night as an OpenMetrics text file, of gauges alone, so that node_exporter's textfile collector reads it, too.

What was not seen has no sample: a mesh that could not be read has no proxies here, and not zero of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta

from meshinstall.cli.output.night import days_until
from meshinstall.errors import safe
from meshinstall.model.night import Night, NightEnd

_PREFIX = "meshinstall_night"
Labels = Mapping[str, str]
Samples = Sequence[tuple[Labels, float]]


def night_metrics(night: Night) -> str:
    """The file."""
    # Not by the cluster's name, which a night that opened none may not know: the next night is to be the same series.
    where = {"environment": night.environment, "cloud": night.cloud}
    lines = [
        line
        for name, text, samples in _families(night)
        for line in _family(name, text, [({**where, **own}, value) for own, value in samples])
    ]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _families(night: Night) -> Iterator[tuple[str, str, Samples]]:
    ended = night.began + timedelta(seconds=night.seconds)
    yield (
        "result",
        "1 for how the last night ended, 0 for the other ends.",
        [({"result": one.name.lower()}, one is night.end) for one in NightEnd],
    )
    yield "exit_status", "Exit status of the last night.", [({}, int(night.status))]
    yield "end_timestamp_seconds", "When the last night ended.", [({}, round(ended.timestamp(), 3))]
    yield "duration_seconds", "How long the last night took.", [({}, round(night.seconds, 3))]
    if stages := _summed(night):
        yield "stage_duration_seconds", "How long each stage of the last night took.", stages
    if (sight := night.sight) is None:
        return
    proxies = [({"version": one.version, "revision": one.revision}, float(one.count)) for one in sight.proxies]
    if proxies:
        yield "proxies", "Proxies of the mesh.", proxies
    certificates = [({"subject": one.subject, "fingerprint": one.fingerprint}, one.expires) for one in sight.certificates]
    if certificates:
        text = "Days until a certificate of the mesh's authorities expires."
        yield "certificate_days", text, [(labels, round(days_until(end, ended), 3)) for labels, end in certificates]
    # Support lasts through its last day.
    ends = [(name, datetime.combine(day + timedelta(days=1), time(), UTC)) for name, day in sight.support_ends if day]
    if ends:
        text = "Days until a minor that runs is without support."
        yield "end_of_life_days", text, [({"minor": name}, round(days_until(end, ended), 3)) for name, end in ends]
    yield "gaps", "What could not be read of the mesh.", [({}, float(len(sight.gaps)))]


def _summed(night: Night) -> Samples:
    seconds: dict[str, float] = {}
    for stage in night.stages:
        seconds[stage.name] = seconds.get(stage.name, 0.0) + stage.seconds
    return [({"stage": name}, round(each, 3)) for name, each in seconds.items()]


def _family(name: str, text: str, samples: Samples) -> Iterator[str]:
    yield f"# TYPE {_PREFIX}_{name} gauge"
    yield f"# HELP {_PREFIX}_{name} {text}"
    for labels, value in samples:
        named = ",".join(f'{key}="{_escaped(each)}"' for key, each in labels.items())
        yield f"{_PREFIX}_{name}{f'{{{named}}}' if named else ''} {float(value)!r}"


def _escaped(text: str) -> str:
    return safe(text, kept="").replace("\\", "\\\\").replace('"', '\\"')
