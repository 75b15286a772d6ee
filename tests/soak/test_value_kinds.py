"""What our files' checks refuse the real helm or API server refuses, and the other way round: generated values of every chart."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshinstall.adapters.charts.archive import read_chart
from meshinstall.config.kube_kinds import field_kinds
from meshinstall.config.kube_scalars import SCALARS
from meshinstall.config.schema import Verdict, check_values
from meshinstall.config.value_kinds import KINDS
from meshinstall.model.chart import ChartFiles
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind
from testbed import cluster as testbed_cluster
from testbed.spec import Nodes

pytestmark = pytest.mark.cluster

ROUNDS = 20
# Of each place in each round.
_EACH = 2
_WORDS = re.compile(r"(list|map|enum|bare)\((.*)\)")
_ANYTHING: tuple[Any, ...] = (
    *(0, 1, -1, 2.5, 80, 70000, True, False, "", "x", "a b", "Über", "-a", "a_b", "A", "a" * 16, "a" * 64, "80", "0", "-1", "true"),
    *("50%", "x%", "1Gi", "1z", "-5m", "500m", "10.0.0.0/8", "10.0.0.0", "::1", "example.com/a", "Example.com/a", "/a", "a/b/c", "30s"),
    *([], {}, ["x"], [{}], {"a": "b"}, {"a": 1}, {"a b": "c"}),
)
# What makes a value count: without it the chart renders nothing of it.
_BESIDE: Mapping[str, Mapping[str, Any]] = {
    "replicaCount": {"autoscaleEnabled": False, "autoscaling": {"enabled": False}},
    "pdb": {"autoscaleMin": 2, "global": {"defaultPodDisruptionBudget": {"enabled": True}}},
    "podDisruptionBudget": {"autoscaling": {"minReplicas": 2}},
    "networkGatewayPorts": {"networkGateway": "n"},
    "resourceQuotas": {"resourceQuotas": {"enabled": True}},
}
# Read by istiod, for the pods that it injects and the gateways that it makes: no object of the chart shows it.
_LATER = (
    "global.proxy",
    "global.sts",
    "global.waypoint",
    "global.defaultResources",
    "gateways",
    "sidecarInjectorWebhook",
    "keepaliveMaxServerConnectionAge",
)
# Taken by helm and the API server, and surely not meant: a map as if it were a list, text of Go for a map, no object at all.
_MEANT_OTHERWISE = (
    r"^updateStrategy.rollingUpdate",
    r"must be (a list|one of all, cluster, namespace)",
    r"must be a single value",
    r"must be a map",
)


@dataclass(frozen=True, slots=True)
class Judge:
    """The real helm and the real API server; ``problem`` is empty for what both take."""

    helm: Path
    kubectl: Path
    kubeconfig: Path
    charts: Path

    def render(self, component: str, values: Mapping[str, Any]) -> tuple[str, str]:
        """The objects, or why helm does not make them."""
        archive = next(self.charts.glob(f"{component}-*.tgz"))
        argv = [str(self.helm), "template", "x", str(archive), "-n", "istio-system", "-f", "-", "--kube-version", "1.36.0"]
        done = subprocess.run(argv, input=json.dumps(values), capture_output=True, text=True, check=False, env={"HOME": str(self.charts)})
        return done.stdout, done.stderr if done.returncode else ""

    def problem(self, component: str, values: Mapping[str, Any], without: frozenset[str]) -> str:
        """Why it is refused; ``without`` are objects that are as they always are."""
        text, wrong = self.render(component, values)
        if wrong:
            return wrong
        changed = [part for part in text.split("\n---") if part.strip() not in without and "CustomResourceDefinition" not in part]
        if not changed:
            return ""
        argv = [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), "apply", "--server-side", "--dry-run=server", "--force-conflicts"]
        done = subprocess.run([*argv, "-f", "-"], input="\n---".join(changed), capture_output=True, text=True, check=False)
        return done.stderr if done.returncode and "no objects passed" not in done.stderr else ""


@pytest.fixture(scope="module")
def judge(build_part: Any) -> Iterator[Judge]:
    """A judge with an API server of its own."""
    name = "value-kinds"
    parts = [build_part(part) for part in ("helm4", "kubectl", "charts")]
    try:
        cluster = testbed_cluster.up(name, Nodes.NONE, print)
        found = Judge(parts[0] / "helm", parts[1] / "kubectl", cluster.kubeconfig, parts[2])
        subprocess.run(
            [str(found.kubectl), "--kubeconfig", str(found.kubeconfig), "create", "namespace", "istio-system"],
            check=False,
            capture_output=True,
        )
        yield found
    finally:
        testbed_cluster.down(name)


@pytest.fixture(scope="module")
def files(build_part: Any) -> Mapping[str, ChartFiles]:
    """What each chart says about itself."""
    return {archive.name.rsplit("-", 1)[0]: read_chart(archive) for archive in build_part("charts").glob("*.tgz")}


def some(kind: str, pick: random.Random, depth: int = 0) -> Any:
    """A value that may be of a kind, and often is not."""
    kind = kind.removeprefix("?")
    if pick.random() < 0.12:
        return pick.choice(_ANYTHING)
    if nested := _WORDS.fullmatch(kind):
        if nested[1] == "enum":
            name = pick.choice(nested[2].split("|"))
            return pick.choice([name, name, name, name.lower(), "x"])
        if nested[1] == "bare":
            return some(nested[2], pick, depth)
        items = [some(nested[2], pick, depth + 1) for _ in range(pick.choice([1, 1, 2]))]
        return items if nested[1] == "list" else {pick.choice(["a", "b", "a b"]): item for item in items}
    return _plain(kind, pick, depth)


def _plain(kind: str, pick: random.Random, depth: int) -> Any:
    if kind in {"annotations", "config", "labels", "quoted-labels", "variables"}:
        return {pick.choice(["a", "example.com/a", "a_b", "A", "Example.com/a", "a b"]): pick.choice(["", "x", "a b", "x" * 64, 1, True])}
    if kind == "resources":
        return {pick.choice(["cpu", "memory", "x", "example.com/x"]): pick.choice(["500m", "1Gi", 1, 0, "-1", "1z", "", 0.5])}
    if kind in SCALARS or kind == "any":
        return pick.choice(_LIKELY.get(kind, ("x", "a", "1")))
    return _message(kind, pick, depth)


_LIKELY: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("int", "count", "positive"), (1, 2, 0, -1, 2.5, "1", "x")),
    **dict.fromkeys(("port", "port-or-0", "port-or-name"), (80, 30080, 443, 0, 70000, "http", "a" * 16, "80")),
    "bool": (True, False, "true"),
    "cidr": ("10.0.0.0/8", "10.0.0.1/8", "10.0.0.0", "::/0", "x"),
    "count-or-percent": (1, "25%", 0, "x", -1, "1", "150%"),
    "ip": ("192.0.2.1", "::1", "x", "192.0.2.256"),
    "number-or-text": (1, "x", "25%", True, 2.5),
    "quantity": ("1Gi", "500m", 1, "1z", True),
    "text": ("x", "a b", 1, True, ""),
    "duration": ("30m", "30"),
}


def _message(message: str, pick: random.Random, depth: int) -> dict[str, Any]:
    kinds = field_kinds(message)
    scalars = [key for key, kind in kinds.items() if kind in SCALARS or kind.startswith("enum")]
    names = scalars if depth > 3 else list(kinds)
    chosen = {*pick.sample(names, min(len(names), pick.choice([1, 2, 3]))), *(_WHOLE.get(message, ()) if pick.random() < 0.9 else ())}
    return {key: some(kinds[key], pick, depth + 1) for key in sorted(chosen)}


_WHOLE: Mapping[str, tuple[str, ...]] = {
    "Container": ("name", "image"),
    "ConfigMapKeySelector": ("key", "name"),
    "EnvVar": ("name",),
    "LabelSelectorRequirement": ("key", "operator"),
    "NodeSelectorRequirement": ("key", "operator"),
    "PodAffinityTerm": ("topologyKey",),
    "SecretKeySelector": ("key", "name"),
    "ServicePort": ("port", "name"),
    "Toleration": ("key", "operator"),
    "TopologySpreadConstraint": ("maxSkew", "topologyKey", "whenUnsatisfiable"),
    "Volume": ("name",),
    "VolumeMount": ("name", "mountPath"),
}


def _values(component: Component, path: str, pick: random.Random) -> dict[str, Any]:
    value: Any = some(KINDS[component][path], pick)
    for key in reversed(path.split(".")):
        value = {key: value}
    found = yaml.safe_load(json.dumps(value))
    for key, beside in _BESIDE.items():
        if path.partition(".")[0] == key:
            found = _merged(
                _merged({}, {k: v for k, v in beside.items() if component is not Component.ISTIOD or k != "autoscaling"}), found
            )
    return found if isinstance(found, dict) else {}


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = _merged(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return both


def _verdict(component: Component, values: Mapping[str, Any], files: Mapping[str, ChartFiles]) -> Verdict:
    stack = ValuesStack((Layer(LayerKind.ENVIRONMENT, "values.yaml", values),))
    return check_values(component, files[component], stack)


@pytest.mark.parametrize("component", [one for one in Component if one is not Component.BASE])
@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_refused_that_kubernetes_takes(judge: Judge, files: Mapping[str, ChartFiles], component: Component, number: int) -> None:
    """The round is the seed; what only the plan finds is printed (pytest -rP)."""
    always = frozenset(part.strip() for part in judge.render(component, {})[0].split("\n---"))
    pick, false, missed = random.Random(number), [], []  # noqa: S311 - examples, no secrets
    for path in KINDS[component]:
        for _ in range(_EACH):
            values = _values(component, path, pick)
            ours = [problem.text for problem in _verdict(component, values, files).errors]
            theirs = judge.problem(component, values, always)
            if ours and not theirs and not path.startswith(_LATER) and not all(_is_known(text) for text in ours):
                false.append((values, ours))
            if theirs and not ours:
                missed.append((values, theirs.strip().splitlines()[-1][-300:]))
    sys.stdout.writelines(f"only the plan finds {values}: {why}\n" for values, why in missed)
    assert false == []


def _is_known(text: str) -> bool:
    return any(re.search(pattern, text) for pattern in _MEANT_OTHERWISE)
