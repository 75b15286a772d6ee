"""The bench: what it measures of a program, what it compares, and what it says of the goals."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from testbed import pins
from testbed.bench import clouds, install, report, scale, upgrade
from testbed.bench.contenders import RELEASES, contenders, helmfile
from testbed.bench.process import measure
from testbed.errors import TestbedError

MEGABYTE = 1_000_000


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_program_is_charged_with_its_cpu_and_not_with_its_waiting() -> None:
    busy = measure(python("import time\nwhile time.process_time() < 0.3: pass"), {})
    assert busy.cpu >= 0.3
    assert busy.seconds >= 0.3
    idle = measure(python("import select; select.select([], [], [], 0.3)"), {})
    assert idle.seconds >= 0.3
    assert idle.cpu < 0.3


def test_memory_is_the_program_s_own_without_what_it_starts() -> None:
    grow = "held = b'x' * 200_000_000; import select; select.select([], [], [], 0.3)"
    own = measure(python(grow), {})
    assert own.memory > 200 * MEGABYTE
    child = measure(python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}])"), {})
    assert child.memory < 100 * MEGABYTE


def test_a_program_that_ends_otherwise_is_no_measurement() -> None:
    with pytest.raises(TestbedError, match="ended with 3, not 0:\nno cluster"):
        measure(python("import sys; sys.stderr.write('no cluster'); sys.exit(3)"), {})
    measure(python("import sys; sys.exit(3)"), {}, 3)
    with pytest.raises(TestbedError, match="ended with 0, not 3"):
        measure(python("pass"), {}, 3)


def test_helmfile_installs_what_the_helm_commands_install_in_the_same_order() -> None:
    charts, inputs = Path("/charts"), Path("/inputs")
    helm = next(one for one in contenders(charts, inputs) if one.name == "helm, our values")
    releases: Any = helmfile(charts, inputs)["releases"]
    assert [(one["name"], one["chart"], one["namespace"], one["values"][0]) for one in releases] == [
        (argv[3], argv[4], argv[6], argv[-1]) for argv in helm.commands
    ]
    assert [one["needs"] for one in releases] == [[], ["istio-system/istio-base"], ["istio-system/istiod"]]
    assert releases[0]["chart"] == f"/charts/base-{pins.ISTIO}.tgz"
    assert len(helm.commands) == len(RELEASES)


def test_every_contender_has_its_turn_to_be_first() -> None:
    compared = contenders(Path("/charts"), Path("/inputs"))
    orders = [install.rotated(compared, number) for number in range(len(compared))]
    assert [order[0] for order in orders] == list(compared)
    assert all(set(order) == set(compared) for order in orders)


def test_the_filling_is_spread_evenly_and_kept_from_the_scheduler() -> None:
    pods = scale.pods()
    spaces = {body["metadata"]["name"] for body in scale.namespaces()}
    assert len({body["metadata"]["name"] for body in pods}) == scale.PODS
    assert Counter(body["metadata"]["namespace"] for body in pods) == dict.fromkeys(spaces, scale.PODS // scale.NAMESPACES)
    assert {body["spec"]["nodeName"] for body in pods} == {body["metadata"]["name"] for body in scale.nodes()}
    assert all(body["spec"]["taints"][0]["effect"] == "NoSchedule" for body in scale.nodes())


def results(**changed: float) -> report.Results:
    """Every goal just met; ``changed`` replaces seconds of ours."""
    ours = install.Times([changed.get("fresh", 10.0)], [changed.get("again", 0.8)], int(changed.get("memory", 120) * MEGABYTE))
    installs = {"ours": ours, "helm": install.Times([10.0], [4.0], 1), "istioctl": install.Times([10.0], [1.0], 1)}
    times = scale.Times([changed.get("plan", 1.0)], [0.5], [2.0], [0.6], [changed.get("full", 3.0)])
    asked = {"eks": clouds.Times([changed.get("credential", 0.35)], [0.3], [0.2], [changed.get("describe", 1.0)])}
    by_hand = {"by hand": upgrade.Times([10.0]), "by hand, without its checks": upgrade.Times([9.0])}
    upgrades = {"ours": upgrade.Times([changed.get("upgrade", 15.0)]), **by_hand}
    return report.Results(installs, times, changed.get("start", 0.1), clouds=asked, upgrade=upgrades)


def test_a_goal_that_is_just_met_is_met() -> None:
    assert [goal for goal in report.goals(results()) if goal.measured > goal.limit] == []


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"fresh": 10.1}, ["fresh install against helm", "fresh install against istioctl"]),
        ({"again": 0.81}, ["nothing to change against istioctl"]),
        ({"memory": 121}, ["peak memory of `up`"]),
        ({"plan": 1.01}, ["slowest of the three `plan` medians"]),
        ({"full": 3.1}, ["`up` on a full cluster against an empty one"]),
        ({"credential": 0.36}, ["credential plugin, eks"]),
        ({"describe": 1.01}, ["sign in and describe a cluster, eks"]),
        ({"upgrade": 15.1}, ["canary to the next minor against helm and kubectl"]),
        ({"start": 0.101}, ["CPU of `--help` beyond the interpreter's"]),
    ],
)
def test_a_goal_that_is_missed_is_said(changed: dict[str, float], missed: list[str]) -> None:
    found = results(**changed)
    assert [goal.text for goal in report.goals(found) if goal.measured > goal.limit] == missed
    assert report.markdown(found).count("**no**") == len(missed)


def test_a_table_shows_medians_and_their_spread() -> None:
    times = {"ours": install.Times([9.0, 1.0, 2.0], [1.0], 75 * MEGABYTE), "helm": install.Times([4.0], [4.0], 9 * MEGABYTE)}
    assert report.install_table(times).splitlines()[2:] == [
        "| ours | 2.00 (1.00 to 9.00) | 1.00 | 1.00 (1.00 to 1.00) | 1.00 | 75 |",
        "| helm | 4.00 (4.00 to 4.00) | 0.50 | 4.00 (4.00 to 4.00) | 0.25 | 9 |",
    ]


def test_what_was_not_measured_is_not_in_the_report() -> None:
    said = report.markdown(report.Results(start=0.05))
    assert said.splitlines()[2:] == ["| CPU of `--help` beyond the interpreter's | ≤ 100 ms | 50 ms | yes |"]


def test_the_canary_by_hand_removes_the_old_istiod_after_everything_has_moved() -> None:
    steps = [" ".join(argv) for argv in upgrade.documented(Path("/charts"), Path("/inputs"))]
    retire = next(number for number, step in enumerate(steps) if step.startswith("helm uninstall istiod "))
    moved = (
        "helm upgrade istio-ingress ",
        "kubectl rollout status deployment -n istio-ingress ",
        "kubectl rollout status deployment -n shop ",
    )
    assert all(any(step.startswith(one) for step in steps[:retire]) for one in moved)
    assert steps[retire + 1].endswith(f"defaultRevision={upgrade.REVISION}")
    assert {" ".join(argv) for argv in upgrade.CHECKS} < set(steps)
    assert all(f"-{pins.ISTIO}.tgz" in step for step in steps if step.startswith(("helm upgrade", "helm install")))
