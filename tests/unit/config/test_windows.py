"""``upgrade.windows``: the nearest list counts, each window has the line that wrote it, and so has each mistake."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from meshinstall.errors import ConfigError
from meshinstall.model.cluster import Cloud
from tests.unit.config.projects import resolved

Write = Callable[[Mapping[str, str]], Path]

FILE = """\
apiVersion: meshinstall.dev/v1
upgrade:
  windows:
    - {kind: allow, schedule: "0 22 * * 1-5", duration: 4h, timeZone: Europe/Berlin}
    - {kind: deny, schedule: "0 0 20 12 *", duration: 336h}
environments:
  staging:
    cloud: eks
    upgrade:
      windows: []
  prod:
    upgrade:
      windows:
        - {kind: allow, schedule: "0 1 * * *", duration: 1h30m}
    clouds:
      eks:
        upgrade:
          windows:
            - {kind: allow, schedule: "0 3 * * 0", duration: 90m, timeZone: America/New_York}
      gke: {}
      aks: {upgrade: {windows: null}}
"""


@pytest.mark.parametrize(
    ("environment", "cloud", "windows"),
    [
        (
            "dev",
            Cloud.LOCAL,
            [
                ("allow 0 22 * * 1-5 for 4h Europe/Berlin", "meshinstall.yaml:4"),
                ("deny 0 0 20 12 * for 336h UTC", "meshinstall.yaml:5"),
            ],
        ),
        ("staging", Cloud.EKS, []),
        ("prod", Cloud.EKS, [("allow 0 3 * * 0 for 1h30m America/New_York", "meshinstall.yaml:19")]),
        ("prod", Cloud.GKE, [("allow 0 1 * * * for 1h30m UTC", "meshinstall.yaml:14")]),
        ("prod", Cloud.AKS, [("allow 0 1 * * * for 1h30m UTC", "meshinstall.yaml:14")]),
    ],
)
def test_the_nearest_windows_count(write: Write, environment: str, cloud: Cloud, windows: list[tuple[str, str]]) -> None:
    found = resolved(write({"meshinstall.yaml": FILE}), environment=environment, cloud=cloud).windows
    assert [(window.words, window.origin) for window in found.windows] == windows


def one(window: str) -> str:
    """A file with one window, in line 4."""
    return f"apiVersion: meshinstall.dev/v1\nupgrade:\n  windows:\n    - {window}\n"


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ('{kind: allow, schedule: "0 22 * *", duration: 4h}', "schedule '0 22 * *' does not have five fields"),
        ('{kind: allow, schedule: "0 0 22 * * 1", duration: 4h}', "does not have five fields"),
        ('{kind: allow, schedule: "@daily", duration: 4h}', "does not have five fields"),
        ('{kind: allow, schedule: "0 25 * * *", duration: 4h}', "is not one of cron (bad hour)"),
        ('{kind: allow, schedule: "0 0 30 2 *", duration: 4h}', "is not one of cron (bad day-of-month)"),
        ('{kind: allow, schedule: "0 22 * * *", duration: "0h"}', "duration '0h' is not a time"),
        ('{kind: allow, schedule: "0 22 * * *", duration: ""}', "duration '' is not a time"),
        ('{kind: allow, schedule: "0 22 * * *", duration: 745h}', "duration '745h' is not a time"),
        ('{kind: allow, schedule: "0 22 * * *", duration: "4"}', "duration '4' is not a time"),
        ('{kind: allow, schedule: "0 22 * * *", duration: 4h, timeZone: Mars/Base}', "timeZone 'Mars/Base' is unknown"),
        ('{kind: allow, schedule: "0 22 * * *", duration: 4h, timeZone: ../../etc/passwd}', "timeZone '../../etc/passwd' is unknown"),
        ('{kind: allow, schedule: "0 22 * * *", duration: 4h, timeZone: /etc/localtime}', "timeZone '/etc/localtime' is unknown"),
        ('{kind: allow, schedule: "0 22 * * *", duration: 4h, timeZone: Europe}', "timeZone 'Europe' is unknown"),
        ('{kind: allow, schedule: "0 22 * * *", duration: 4h, timeZone: ""}', "timeZone '' is unknown"),
        ('{kind: maybe, schedule: "0 22 * * *", duration: 4h}', "kind must be 'allow' or 'deny'"),
        ('{kind: allow, schedule: "0 22 * * *", duration: 4h, zone: UTC}', "unknown key 'zone'"),
        ("{kind: allow, duration: 4h}", "schedule is missing"),
        ('{kind: allow, schedule: "0 22 * * *", duration: 4}', "duration must be text"),
    ],
)
def test_a_mistake_has_its_line(write: Write, window: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolved(write({"meshinstall.yaml": one(window)}))
    assert [problem.source for problem in raised.value.problems] == ["meshinstall.yaml"]
    assert [problem.line for problem in raised.value.problems] == [4]
    assert message in raised.value.problems[0].text


def test_a_list_that_is_too_long_is_refused(write: Write) -> None:
    line = '    - {kind: allow, schedule: "0 22 * * *", duration: 4h}\n'
    with pytest.raises(ConfigError, match=r"has 65 windows, and may have 64"):
        resolved(write({"meshinstall.yaml": f"apiVersion: meshinstall.dev/v1\nupgrade:\n  windows:\n{line * 65}"}))


def test_a_schedule_of_hostile_length_is_refused_before_it_is_read(write: Write) -> None:
    with pytest.raises(ConfigError, match="is too long"):
        resolved(write({"meshinstall.yaml": one(f'{{kind: allow, schedule: "{"1," * 500}1 22 * * *", duration: 4h}}')}))


def test_the_duration_is_hours_and_minutes(write: Write) -> None:
    found = resolved(write({"meshinstall.yaml": one('{kind: deny, schedule: "0  22 * * MON", duration: 1h30m}')})).windows
    assert [window.duration for window in found.windows] == [timedelta(hours=1, minutes=30)]
