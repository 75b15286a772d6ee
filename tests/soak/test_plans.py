"""Where a plan has no error, helm takes the release: with generated values of a gateway and of istiod, on a real cluster."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Done, Program, meshinstall

ROUNDS = 10
# Of each round.
SETS = 10
_NAMES = st.sampled_from(["a", "app", "example.com/x", "b-c", "Über", "a b", "x" * 64, "-a"])
_TEXTS = st.sampled_from(["1", "x", "", "true", "500m", "1Gi", "two words", "x" * 64, "a/b"])
_NUMBERS = st.sampled_from([0, 1, 2, -1, 25000000])
_QUANTITIES = st.sampled_from(["500m", "1Gi", 1, 0, -1, "1g", "-5m"])
_MAPS = st.dictionaries(_NAMES, _TEXTS, min_size=1, max_size=2)
_PORTS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["http", "https", "a_b", "x"])}, optional={"port": st.sampled_from([80, 443, 0, 70000, "80"])}
    ),
    min_size=1,
    max_size=2,
)
_TOLERATIONS = st.lists(
    st.fixed_dictionaries(
        {"operator": st.sampled_from(["Exists", "Equal", "Is"])},
        optional={"key": _TEXTS, "value": _TEXTS, "effect": st.sampled_from(["NoSchedule", "NoExecute", "Never"]), "other": _TEXTS},
    ),
    max_size=2,
)
_PODS: dict[str, st.SearchStrategy[Any]] = {
    "podAnnotations": _MAPS,
    "nodeSelector": _MAPS,
    "env": _MAPS,
    "tolerations": _TOLERATIONS,
    "resources": st.fixed_dictionaries({"requests": st.dictionaries(st.sampled_from(["cpu", "memory", "x"]), _QUANTITIES, max_size=2)}),
    "replicaCount": _NUMBERS,
}
# Keys of the charts with what people write there, right and wrong.
_GATEWAY: dict[str, st.SearchStrategy[Any]] = {
    **_PODS,
    "annotations": _MAPS,
    "labels": _MAPS,
    "priorityClassName": _TEXTS,
    "terminationGracePeriodSeconds": _NUMBERS,
    "minReadySeconds": _NUMBERS,
    "service": st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "None", 1]),
            "annotations": _MAPS,
            "ports": _PORTS,
            "externalTrafficPolicy": st.sampled_from(["Local", "Cluster", "Nearby"]),
            "loadBalancerSourceRanges": st.lists(st.sampled_from(["10.0.0.0/8", "10.0.0.0", "x"]), max_size=2),
        },
    ),
    "autoscaling": st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "minReplicas": _NUMBERS, "maxReplicas": _NUMBERS}),
    "podDisruptionBudget": st.dictionaries(st.sampled_from(["minAvailable", "maxUnavailable"]), _QUANTITIES | st.just("50%"), max_size=2),
    "strategy": st.sampled_from([{}, {"type": "Recreate"}, {"type": "Sometimes"}]),
}
_ISTIOD: dict[str, st.SearchStrategy[Any]] = {
    **_PODS,
    "podLabels": _MAPS,
    "serviceAnnotations": _MAPS,
    "deploymentLabels": _MAPS,
    "autoscaleEnabled": st.booleans(),
    "autoscaleMin": _NUMBERS,
    "autoscaleMax": _NUMBERS,
    "rollingMaxSurge": _QUANTITIES | st.just("100%"),
    "rollingMaxUnavailable": _QUANTITIES | st.just("25%"),
    "traceSampling": _NUMBERS | st.just(0.5),
    "ipFamilyPolicy": st.sampled_from(["SingleStack", "PreferDualStack", "RequireDualStack", "x"]),
    "meshConfig": st.fixed_dictionaries(
        {},
        optional={
            "accessLogFile": _TEXTS,
            "enableTracing": st.booleans(),
            "outboundTrafficPolicy": st.fixed_dictionaries({"mode": st.sampled_from(["REGISTRY_ONLY", "ALLOW_ANY", "x"])}),
            "defaultConfig": st.fixed_dictionaries({}, optional={"concurrency": _NUMBERS, "proxyMetadata": _MAPS}),
        },
    ),
    "global": st.fixed_dictionaries(
        {},
        optional={
            "priorityClassName": _TEXTS,
            "logging": st.fixed_dictionaries({"level": st.sampled_from(["default:info", "x", "all:debug"])}),
            "proxy": st.fixed_dictionaries({}, optional={"logLevel": _TEXTS, "statusPort": _NUMBERS, "privileged": st.booleans()}),
        },
    ),
}
# By what users call the release: its name, its namespace, its chart and its keys.
_RELEASES = {"gateway": ("istio-ingress", "istio-ingress", "gateway", _GATEWAY), "istiod": ("istiod", "istio-system", "istiod", _ISTIOD)}


def chosen(keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """One or two keys at a time: of many, one is always wrong."""
    some = st.sets(st.sampled_from(sorted(keys)), min_size=1, max_size=2)
    return some.flatmap(lambda names: st.fixed_dictionaries({key: keys[key] for key in sorted(names)}))


# What helm may refuse although the plan has no error, and why no plan can know it.
_UNKNOWABLE: dict[str, str] = {}


@pytest.fixture(scope="module")
def installed(own_module_cluster: Cluster) -> Program:
    """A mesh with a gateway."""
    found = meshinstall(own_module_cluster)
    found.up("--no-verify")
    return found


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Any) -> Shell:
    """A person's shell with the same helm."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture
def values(installed: Program) -> Iterator[Path]:
    """The environment's file, which is gone afterwards."""
    file = Path(installed.env["MESHINSTALL_CONFIG"]) / "values/envs/dev.yaml"
    file.parent.mkdir(exist_ok=True)
    yield file
    file.unlink(missing_ok=True)


def errors(planned: Done) -> list[str]:
    """Codes of what stops the run, but whose the release is: helm by itself was the last here."""
    return [one["code"] for one in json.loads(planned.out)["findings"] if one["severity"] == "error" and one["code"] != "PRE017"]


@pytest.mark.parametrize("turn", [(number, of) for number in range(ROUNDS) for of in _RELEASES], ids=lambda turn: f"{turn[1]}-{turn[0]}")
def test_what_a_plan_takes_helm_takes(installed: Program, shell: Shell, values: Path, build_part: Any, turn: tuple[int, str]) -> None:
    """The round is the seed; how many sets were taken is printed (pytest -rP)."""
    number, of = turn
    name, namespace, chart_name, keys = _RELEASES[of]
    chart = next(build_part("charts").glob(f"{chart_name}-*.tgz"))
    before, more = (values.parents[2] / file for file in ("before.yaml", "more.yaml"))
    before.write_text(shell.ok("helm", "get", "values", name, "-n", namespace, "-o", "yaml"))
    taken = 0

    @seed(number)
    @settings(max_examples=SETS, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(chosen(keys))
    def holds(found: dict[str, Any]) -> None:
        nonlocal taken
        values.write_text(yaml.safe_dump({of: found}))
        more.write_text(yaml.safe_dump(found))
        planned = installed.run("plan", "-o", "json")
        assert planned.status in {0, 1, 2, 3}, planned
        if planned.status not in {0, 3} or errors(planned):
            return
        taken += 1
        done = shell.run("helm", "upgrade", name, str(chart), "-n", namespace, "-f", str(before), "-f", str(more))
        try:
            assert done.returncode == 0 or any(re.search(known, done.stderr) for known in _UNKNOWABLE), f"{found}\n{done.stderr}"
        finally:
            shell.ok("helm", "upgrade", name, str(chart), "-n", namespace, "-f", str(before))

    holds()
    sys.stdout.write(f"round {number} of {of}: the plan took {taken} of {SETS} sets, and so did helm\n")
    assert taken, "no set was taken by the plan, so nothing was compared"
