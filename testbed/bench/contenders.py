"""The ways to install that are compared, all with the same charts, images and Helm."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from testbed import pins

# Parts whose programs take part.
TOOLS = ("helm4", "helmfile", "istioctl")

MESHINSTALL = (sys.executable, "-m", "meshinstall")
TARGET = ("--cloud", "local", "--env", "dev")
# The proof of mTLS is measured apart: nobody else has one.
UP = (*MESHINSTALL, "up", *TARGET, "--yes", "--no-verify")
VERIFY = (*MESHINSTALL, "verify", *TARGET)
PLAN = (*MESHINSTALL, "plan", *TARGET)

_ISTIOCTL_SETS = (
    "profile=default",
    f"hub={pins.ISTIO_HUB}",
    f"tag={pins.ISTIO}",
    # What upstream Envoy needs, as in the testbed's values for the charts.
    "values.pilot.env.PILOT_ENABLE_ALPN_FILTER=false",
    "values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false",
    "values.telemetry.enabled=false",
)


@dataclass(frozen=True, slots=True)
class Release:
    """One release of the documented installation, in its order."""

    name: str
    chart: str
    namespace: str


RELEASES = (
    Release("istio-base", "base", "istio-system"),
    Release("istiod", "istiod", "istio-system"),
    Release("istio-ingress", "gateway", "istio-ingress"),
)


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to install; ``commands`` are run one after the other."""

    name: str
    commands: tuple[tuple[str, ...], ...]


def contenders(charts: Path, inputs: Path) -> tuple[Contender, ...]:
    """All of them, ours first; ``inputs`` has the values files and helmfile.yaml that ``write_inputs`` made."""
    istioctl = ("istioctl", "install", "--skip-confirmation", *(part for one in _ISTIOCTL_SETS for part in ("--set", one)))
    return (
        Contender("meshinstall up", (UP,)),
        Contender("helm, as documented", tuple(_helm(release, charts, _plain(release, inputs)) for release in RELEASES)),
        Contender("helm, our values", tuple(_helm(release, charts, _values(release, inputs)) for release in RELEASES)),
        Contender("helmfile sync", (("helmfile", "--file", str(inputs / "helmfile.yaml"), "sync"),)),
        Contender("istioctl install", (istioctl,)),
    )


def _helm(release: Release, charts: Path, values: Path) -> tuple[str, ...]:
    chart = str(_archive(release, charts))
    return ("helm", "upgrade", "--install", release.name, chart, "-n", release.namespace, "--create-namespace", "--wait", "-f", str(values))


def write_inputs(charts: Path, inputs: Path, env: Mapping[str, str]) -> None:
    """Write into ``inputs`` the values that meshinstall gave its releases in the cluster of ``env``, and helmfile.yaml.

    Beside them those that the testbed's proxy needs and nothing else: with them helm installs as Istio's documentation says.
    """
    needs = Path(env["MESHINSTALL_CONFIG"], "values", "components")
    for release in RELEASES:
        needed = needs / f"{release.chart}.yaml"
        _plain(release, inputs).write_text(needed.read_text() if needed.exists() else "{}")
        argv = ["helm", "get", "values", release.name, "-n", release.namespace, "-o", "json"]
        said = subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout
        # A release without values answers null.
        _values(release, inputs).write_text(json.dumps(json.loads(said) or {}))
    # JSON will not do: helmfile looks for its keys at the start of a line.
    (inputs / "helmfile.yaml").write_text(yaml.safe_dump(helmfile(charts, inputs)))


def helmfile(charts: Path, inputs: Path) -> dict[str, object]:
    """The same three releases for helmfile, each after the one before."""
    releases: list[dict[str, object]] = []
    before: list[str] = []
    for release in RELEASES:
        one: dict[str, object] = {"name": release.name, "namespace": release.namespace, "chart": str(_archive(release, charts))}
        releases.append({**one, "values": [str(_values(release, inputs))], "needs": before})
        before = [f"{release.namespace}/{release.name}"]
    return {"helmDefaults": {"wait": True, "createNamespace": True}, "releases": releases}


def _archive(release: Release, charts: Path) -> Path:
    return charts / f"{release.chart}-{pins.ISTIO}.tgz"


def _plain(release: Release, inputs: Path) -> Path:
    return inputs / f"{release.name}-plain.yaml"


def _values(release: Release, inputs: Path) -> Path:
    return inputs / f"{release.name}.json"
