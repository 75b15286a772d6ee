"""Windows are open when a slow clock says so, which knows nothing of the library: minute by minute, over changes to summer time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshinstall.model.windows import Kind, Window, Windows, time_words

_MINUTE = timedelta(minutes=1)
# Instants at which clocks change: by one hour, by half of one, by two, on a half hour; south of the equator; and a zone without changes.
CHANGES = {
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/New_York": (datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 10, 3, 15, 30, tzinfo=UTC), datetime(2026, 4, 4, 15, tzinfo=UTC)),
    "America/St_Johns": (datetime(2026, 3, 8, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 4, 30, tzinfo=UTC)),
    "Antarctica/Troll": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "Pacific/Auckland": (datetime(2026, 9, 26, 14, tzinfo=UTC), datetime(2026, 4, 4, 14, tzinfo=UTC)),
    "Asia/Kolkata": (datetime(2026, 5, 1, tzinfo=UTC),),
}


@dataclass(frozen=True)
class Field:
    """One field of a schedule, and the numbers that it names."""

    text: str
    numbers: frozenset[int]


def _field(text: str, *numbers: int) -> Field:
    return Field(text, frozenset(numbers))


MINUTES = [_field("0", 0), _field("30", 30), _field("*/20", 0, 20, 40), _field("*", *range(60)), _field("5,50", 5, 50)]
HOURS = [_field("2", 2), _field("22", 22), _field("*", *range(24)), _field("*/6", 0, 6, 12, 18), _field("1-3", 1, 2, 3), _field("0", 0)]
DAYS = [_field("*", *range(1, 32)), _field("25-29", *range(25, 30)), _field("1", 1)]
WEEKDAYS = [_field("*", *range(7)), _field("1-5", 1, 2, 3, 4, 5), _field("0", 0), _field("6,0", 6, 0)]


@dataclass(frozen=True)
class Told:
    """A window, and its schedule as the slow clock reads it."""

    window: Window
    fields: tuple[Field, Field, Field, Field]


@st.composite
def told(draw: st.DrawFn, zone: str) -> Told:
    """A window of a zone."""
    fields = tuple(draw(st.sampled_from(some)) for some in (MINUTES, HOURS, DAYS, WEEKDAYS))
    minute, hour, day, weekday = fields
    schedule = f"{minute.text} {hour.text} {day.text} * {weekday.text}"
    duration = timedelta(minutes=draw(st.sampled_from([1, 45, 60, 90, 240, 1500])))
    return Told(Window(draw(st.sampled_from(list(Kind))), schedule, duration, zone), (minute, hour, day, weekday))


@st.composite
def nights(draw: st.DrawFn) -> tuple[tuple[Told, ...], datetime]:
    """Windows of one or two zones, and a time near a change of a clock."""
    zone = draw(st.sampled_from(list(CHANGES)))
    change = draw(st.sampled_from(CHANGES[zone]))
    zones = st.sampled_from([zone, zone, "UTC"])
    some = tuple(draw(told(draw(zones))) for _ in range(draw(st.integers(1, 3))))
    return some, change + timedelta(minutes=draw(st.integers(-1800, 1800)))


def names(one: Told, local: datetime) -> bool:
    """Whether a schedule names a local minute, by the rules of cron for days and weekdays."""
    minute, hour, day, weekday = one.fields
    by_day, by_weekday = local.day in day.numbers, (local.weekday() + 1) % 7 in weekday.numbers
    is_either = not day.text.startswith("*") and not weekday.text.startswith("*")
    is_day = by_day or by_weekday if is_either else by_day and by_weekday
    return local.minute in minute.numbers and local.hour in hour.numbers and is_day


def begins(one: Told, first: datetime, minutes: int) -> list[bool]:
    """Whether a window begins in each minute of a time, as cron of Debian begins what it runs."""
    zone, found = ZoneInfo(one.window.zone), []
    by_the_wall = one.fields[0].text.startswith("*") or one.fields[1].text.startswith("*")
    for number in range(minutes):
        local = (first + number * _MINUTE).astimezone(zone)
        if by_the_wall:
            found.append(names(one, local))
            continue
        before = (first + (number - 1) * _MINUTE).astimezone(zone).replace(tzinfo=None)
        now = local.replace(tzinfo=None, fold=0)
        skipped = []
        while (before := before + _MINUTE) < now:
            skipped.append(before)
        found.append(not local.fold and any(names(one, each) for each in (*skipped, now)))
    return found


def open_minutes(some: tuple[Told, ...], first: datetime, minutes: int) -> list[bool]:
    """Whether windows are open in each minute."""
    inside = {}
    for one in some:
        length = int(one.window.duration / _MINUTE)
        began = begins(one, first - one.window.duration, minutes + length)
        inside[one] = [any(began[number + 1 : number + length + 1]) for number in range(minutes)]
    allowed = [one for one in some if one.window.kind is Kind.ALLOW]
    denied = [one for one in some if one.window.kind is Kind.DENY]
    return [
        (not allowed or any(inside[one][number] for one in allowed)) and not any(inside[one][number] for one in denied)
        for number in range(minutes)
    ]


def in_utc(at: datetime | None) -> datetime | None:
    """Python holds a time that comes twice for equal to none of another zone."""
    return at.astimezone(UTC) if at else None


_SEEN = 2 * 24 * 60


def _sunday(kind: Kind, minute: Field, zone: str, minutes: int) -> Told:
    fields = (minute, _field("2", 2), _field("*", *range(1, 32)), _field("0", 0))
    return Told(Window(kind, f"{minute.text} 2 * * 0", timedelta(minutes=minutes), zone), fields)


def _half_hour(minute: Field, hour: Field) -> Told:
    fields = (minute, hour, _field("*", *range(1, 32)), _field("*", *range(7)))
    return Told(Window(Kind.ALLOW, f"{minute.text} {hour.text} * * *", timedelta(minutes=1), "Australia/Lord_Howe"), fields)


@settings(max_examples=40, deadline=None)
@given(nights())
# A time that is left out, and one that comes twice.
@example(((_sunday(Kind.ALLOW, _field("30", 30), "Europe/Berlin", 60),), datetime(2026, 3, 29, 0, 50, tzinfo=UTC)))
@example(((_sunday(Kind.ALLOW, _field("30", 30), "Europe/Berlin", 45),), datetime(2026, 10, 25, 1, 10, tzinfo=UTC)))
@example(((_sunday(Kind.DENY, _field("45", 45), "Europe/Berlin", 60),), datetime(2026, 10, 25, 1, 10, tzinfo=UTC)))
# A clock that is set by half an hour: what its jump leads to.
@example(((_half_hour(_field("30", 30), _field("*", *range(24))),), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)))
@example(((_half_hour(_field("0", 0), _field("*/6", 0, 6, 12, 18)),), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)))
def test_windows_are_what_a_slow_clock_says(night: tuple[tuple[Told, ...], datetime]) -> None:
    some, now = night
    windows = Windows(tuple(one.window for one in some))
    truth = open_minutes(some, now, _SEEN)
    assert windows.is_open(now) == truth[0]

    opens = next((now + number * _MINUTE for number, is_open in enumerate(truth) if is_open), None)
    found = in_utc(windows.next_open(now))
    assert found == opens if opens else found is None or found >= now + _SEEN * _MINUTE

    if truth[0]:
        closes = next((now + number * _MINUTE for number, is_open in enumerate(truth) if not is_open), None)
        end = in_utc(windows.closes_at(now))
        assert end == closes if closes else end is None or end >= now + _SEEN * _MINUTE


def _at(text: str, zone: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


WEEKNIGHTS = Window(Kind.ALLOW, "0 22 * * 1-5", timedelta(hours=4), "Europe/Berlin")
FREEZE = Window(Kind.DENY, "0 0 20 12 *", timedelta(days=14), "Europe/Berlin")


def test_without_windows_it_is_always_open() -> None:
    now = _at("2026-11-30 12:00")
    assert Windows().is_open(now)
    assert Windows().next_open(now) == now
    assert Windows().closes_at(now) is None


def test_a_friday_waits_until_monday_by_the_clock_of_the_window() -> None:
    found = Windows((WEEKNIGHTS,)).next_open(datetime(2026, 11, 28, 12, tzinfo=UTC))
    assert found is not None
    assert time_words(found) == "Mon 2026-11-30 22:00 Europe/Berlin"


def test_deny_wins_and_what_it_covers_is_left_out() -> None:
    windows = Windows((WEEKNIGHTS, FREEZE))
    assert not windows.is_open(_at("2026-12-21 23:00"))
    found = windows.next_open(_at("2026-12-21 23:00"))
    assert found is not None
    assert time_words(found) == "Mon 2027-01-04 22:00 Europe/Berlin"


def test_a_deny_that_begins_ends_a_window() -> None:
    deny = Window(Kind.DENY, "0 0 * * *", timedelta(hours=1), "Europe/Berlin")
    assert Windows((WEEKNIGHTS, deny)).closes_at(_at("2026-11-30 22:30")) == _at("2026-12-01 00:00")
    assert Windows((WEEKNIGHTS, deny)).closes_at(_at("2026-12-01 01:30")) == _at("2026-12-01 02:00")


def test_a_window_is_as_long_as_it_says_when_clocks_change() -> None:
    night = Windows((Window(Kind.ALLOW, "0 1 * * *", timedelta(hours=3), "Europe/Berlin"),))
    assert night.closes_at(_at("2026-03-29 01:00")) == _at("2026-03-29 05:00")
    assert night.closes_at(_at("2026-10-25 01:00")) == _at("2026-10-25 03:00")


def test_a_now_of_any_zone_is_the_same_now() -> None:
    night = Windows((Window(Kind.ALLOW, "0 1 * * *", timedelta(hours=3), "UTC"),))
    now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert night.next_open(now.astimezone(ZoneInfo("Europe/Berlin"))) == night.next_open(now)
    assert night.is_open((now + timedelta(hours=3)).astimezone(ZoneInfo("Europe/Berlin")))
    assert not night.is_open((now + timedelta(hours=4)).astimezone(ZoneInfo("Europe/Berlin")))


@pytest.mark.parametrize("kind", list(Kind))
def test_the_first_second_is_inside_and_the_last_is_not(kind: Kind) -> None:
    window = Window(kind, "0 22 * * *", timedelta(hours=1), "UTC")
    inside = kind is Kind.ALLOW
    first = datetime(2026, 11, 30, 22, tzinfo=UTC)
    assert Windows((window,)).is_open(first) is inside
    assert Windows((window,)).is_open(first - timedelta(seconds=1)) is not inside
    assert Windows((window,)).is_open(first + timedelta(minutes=59, seconds=59)) is inside
    assert Windows((window,)).is_open(first + timedelta(hours=1)) is not inside


def test_what_is_always_denied_never_opens_and_is_found_in_time() -> None:
    always = Window(Kind.DENY, "0 0 * * *", timedelta(days=2), "UTC")
    assert Windows((always,)).next_open(datetime(2026, 11, 30, tzinfo=UTC)) is None
