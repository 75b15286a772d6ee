"""Windows in which a nightly upgrade may begin something: a schedule, how long it lasts, and whose clock it goes by; pure.

A window is open from each time that its schedule names, for its duration on a clock that nobody sets. Times that a change to
summer time leaves out count when the clock has jumped over them; times that come twice count the first time (as cron of Debian does).
A schedule whose minute or hour begins with ``*`` follows the wall clock as it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

# How far ahead openings and ends are looked for, and how many times of a schedule that follow each other.
HORIZON = timedelta(days=400)
_MOST_TIMES = 50_000
_MOST_CHANGES = 5_000
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


class Kind(StrEnum):
    """What a window says of its time."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Window:
    """One window; ``origin`` is where it is written."""

    kind: Kind
    schedule: str
    duration: timedelta
    zone: str = "UTC"
    origin: str = ""

    @property
    def words(self) -> str:
        """``allow 0 22 * * 1-5 for 4h Europe/Berlin``."""
        return f"{self.kind} {self.schedule} for {duration_words(self.duration)} {self.zone}"


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one site; none of them is always open, those of ``deny`` alone are open outside of them."""

    windows: tuple[Window, ...] = ()

    @property
    def allowed(self) -> tuple[Window, ...]:
        """Windows that open."""
        return tuple(window for window in self.windows if window.kind is Kind.ALLOW)

    @property
    def denied(self) -> tuple[Window, ...]:
        """Windows that close, whatever opens at that time."""
        return tuple(window for window in self.windows if window.kind is Kind.DENY)

    def is_open(self, now: datetime) -> bool:
        """Whether something may begin; ``now`` has a time zone."""
        if any(covers(window, now) for window in self.denied):
            return False
        return not self.allowed or any(covers(window, now) for window in self.allowed)

    def next_open(self, now: datetime) -> datetime | None:
        """The first time from now on at which they are open, by the clock of the window that opens; None where none was found."""
        at = now = now.astimezone(UTC)
        for _ in range(_MOST_CHANGES):
            if at - now > HORIZON:
                break
            if shut := [window for window in self.denied if covers(window, at)]:
                after = _end(shut, at)
            elif not self.allowed:
                return _by(at, self.denied)
            elif opened := [window for window in self.allowed if covers(window, at)]:
                return _by(at, opened)
            else:
                after = min((time for window in self.allowed if (time := next_time(window, at))), default=None)
            if after is None:
                break
            at = after
        return None

    def closes_at(self, now: datetime) -> datetime | None:
        """The first time after now, at which they are open, when they are not; None where none was found."""
        at = now = now.astimezone(UTC)
        shut = min(((time, window.zone) for window in self.denied if (time := next_time(window, now))), default=None)
        if not self.allowed:
            return shut[0].astimezone(_zone(shut[1])) if shut else None
        for _ in range(_MOST_CHANGES):
            opened = [window for window in self.allowed if covers(window, at)]
            if shut and shut[0] <= at:
                return shut[0].astimezone(_zone(shut[1]))
            if not opened:
                return _by(at, self.allowed)
            end = _end(opened, at)
            if end is None or end - now > HORIZON:
                break
            at = end
        return shut[0].astimezone(_zone(shut[1])) if shut else None


def covers(window: Window, at: datetime) -> bool:
    """Whether a time is inside a window: it began at most its duration ago, its end is outside."""
    # Python counts within one zone by the clock on the wall.
    at = at.astimezone(UTC)
    began = next_time(window, at - window.duration)
    return began is not None and began <= at


def next_time(window: Window, after: datetime) -> datetime | None:
    """The first time after another at which a window begins, in UTC; None where its schedule names none."""
    return next(_times(window, after), None)


def duration_words(duration: timedelta) -> str:
    """``4h``, ``90m`` as ``1h30m``."""
    hours, minutes = divmod(int(duration.total_seconds()) // 60, 60)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if minutes or not hours else ''}"


def time_words(at: datetime) -> str:
    """``Mon 2026-11-30 22:00 Europe/Berlin``, by the clock that the time has."""
    zone = at.tzinfo.key if isinstance(at.tzinfo, ZoneInfo) else at.tzname()
    return f"{at:%a %Y-%m-%d %H:%M} {zone}"


def _times(window: Window, after: datetime) -> Iterator[datetime]:
    """The times of a schedule after another, ascending."""
    from cronsim import CronSim

    after = after.astimezone(UTC)
    minute, hour, *_ = window.schedule.split()
    if minute.startswith("*") or hour.startswith("*"):
        yield from _wall_times(window, after)
        return
    for time in CronSim(window.schedule, after.astimezone(_zone(window.zone))):
        # Asked from within the hour that comes twice, it names times of its first half, too.
        if (found := time.astimezone(UTC)) > after:
            yield found


def _wall_times(window: Window, after: datetime) -> Iterator[datetime]:
    """Every time at which the clock on the wall says what the schedule names, from one change of the clock to the next.

    cronsim with a zone misses some where a clock changes by half an hour (Australia/Lord_Howe).
    """
    from cronsim import CronSim

    zone, last = _zone(window.zone), after
    while True:
        offset, changes = _offset(zone, last), None
        for time in CronSim(window.schedule, (after + offset).replace(tzinfo=None)):
            found = time.replace(tzinfo=UTC) - offset
            if changes := _change(zone, last, found):
                break
            yield found
            last = found
        if changes is None:
            return
        # A schedule names times after another: the minute of the change is one of them.
        after, last = changes - _MINUTE, changes


def _change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first minute after ``start``, up to ``end``, at which a clock was set; None where it was not."""
    offset, low = _offset(zone, start), start
    while low < end:
        high = min(low + _DAY, end)
        if _offset(zone, high) != offset:
            while high - low > _MINUTE:
                middle = low + (high - low) / 2
                low, high = (low, middle) if _offset(zone, middle) != offset else (middle, high)
            return high.replace(second=0, microsecond=0)
        low = high
    return None


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _end(windows: Iterable[Window], at: datetime) -> datetime | None:
    """When the last of windows that cover a time ends, those that follow without a gap included; None where no end was found."""
    ends = [_end_of(window, at) for window in windows]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _end_of(window: Window, at: datetime) -> datetime | None:
    end = at
    for time in islice(_times(window, at - window.duration), _MOST_TIMES):
        if time > end or time - at > HORIZON:
            return end
        end = time + window.duration
    return None if end - at < HORIZON and next_time(window, end) else end


def _by(at: datetime, windows: Iterable[Window]) -> datetime:
    """A time by the clock of the first of these windows."""
    return at.astimezone(_zone(next((window.zone for window in windows), "UTC")))


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
