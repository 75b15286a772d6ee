"""The components and the support table."""

from datetime import date

import pytest

from meshinstall import catalog
from meshinstall.model.release import Component


def test_every_component_is_known_and_comes_after_what_it_needs() -> None:
    assert set(catalog.COMPONENTS) == set(Component)
    seen: list[Component] = []
    for component, spec in catalog.COMPONENTS.items():
        assert set(spec.needs) <= set(seen)
        seen.append(component)


@pytest.mark.parametrize(("version", "minor"), [("1.30.2", "1.30"), ("1.31.0-beta.1", "1.31"), ("1.3.0", None), ("2.0.0", None)])
def test_support_is_found_by_minor(version: str, minor: str | None) -> None:
    found = catalog.support(version)
    assert (found.minor if found else None) == minor


def test_support_ends_after_the_last_day() -> None:
    row = catalog.support("1.30.0")
    assert row is not None
    assert row.ended(date(2026, 11, 30)) is False
    assert row.ended(date(2026, 12, 1)) is True


def test_what_is_not_known_is_not_guessed() -> None:
    row = catalog.Support("1.40", None, end_is_planned=True, kubernetes_min=32, kubernetes_max=None)
    assert row.ended(date(2030, 1, 1)) is None
    assert [row.runs_on(minor) for minor in (31, 32, 99)] == [False, None, None]


def test_every_minor_that_the_sources_state_has_a_row() -> None:
    rows = {line: catalog.support(f"{line}.0") for line in ("1.27", "1.28", "1.29", "1.30", "1.31")}
    assert {line: (row.kubernetes_min, row.kubernetes_max) for line, row in rows.items() if row} == {
        "1.27": (29, 33),
        "1.28": (30, 34),
        "1.29": (31, 35),
        "1.30": (32, 36),
        "1.31": (32, 36),
    }
    ended = catalog.support("1.29.9")
    assert ended is not None
    assert ended.end_of_life == date(2026, 10, 15)
    assert catalog.support("1.32.0") is None


@pytest.mark.parametrize(("kubernetes", "runs"), [(31, False), (32, True), (36, True), (37, False)])
def test_kubernetes_is_supported_from_the_minimum_to_the_maximum(kubernetes: int, runs: bool) -> None:  # noqa: FBT001 - a table's column
    row = catalog.support("1.30.0")
    assert row is not None
    assert row.runs_on(kubernetes) is runs
