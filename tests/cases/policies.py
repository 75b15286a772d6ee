"""Policies with a mistake, each with the safe way to write it; ``python -m tests.cases.policies`` writes what is said of the mistakes."""

import asyncio
from dataclasses import replace
from pathlib import Path

from meshinstall.cli.output.policy_text import policy_text
from meshinstall.config.lockfile import Lock
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.engine.report.policies import Checked, check_policies
from meshinstall.model.chart import ChartFiles
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Desired
from meshinstall.model.identity import IdentityProvider
from meshinstall.model.request import Request
from tests.cases import plans
from tests.fakes import FakeCharts

FOLDER = Path(__file__).parent / "policy"
_SCHEMAS = FOLDER / "schemas.yaml"


def names() -> list[str]:
    """Every case."""
    return sorted(one.name for one in FOLDER.iterdir() if one.is_dir())


def desired() -> Desired:
    """A mesh with one provider for CUSTOM."""
    provider = {"name": "oauth2-proxy", "envoyExtAuthzHttp": {"service": "oauth2-proxy.auth.svc.cluster.local", "port": 4180}}
    layer = {"kind": "ENVIRONMENT", "line": 1, "values": {"meshConfig": {"extensionProviders": [provider]}}}
    return plans.make({"desired": {"releases": {"istio-system/istiod": {"layers": {"x.yaml": layer}}}}}).desired


def check(path: Path) -> Checked:
    """What is said of a file of a case."""
    base = ChartFiles({"name": "base"}, "", definitions=_SCHEMAS.read_text())
    mesh = replace(desired(), identity=_identity(path.parent), istio_version=_version(path.parent))
    return asyncio.run(check_policies([path], mesh, FakeCharts(files={"base": base}), Lock(()), knows_mesh=True))


def _identity(folder: Path) -> tuple[IdentityProvider, ...]:
    """The identity providers of a case, if it has any."""
    if not (folder / "meshinstall.yaml").exists():
        return ()
    request = Request(environment="dev", cloud=Cloud.LOCAL, folder=folder)
    return resolve(request, load_project(folder, {}, FOLDER)).identity


def _version(folder: Path) -> str:
    """The Istio of a case."""
    file = folder / "version.txt"
    return file.read_text().strip() if file.exists() else desired().istio_version


def said(name: str) -> str:
    """What is said of the mistake, with the path as in the case."""
    return policy_text(check(FOLDER / name / "wrong.yaml")).replace(f"{FOLDER}/", "") + "\n"


if __name__ == "__main__":
    for name in names():
        (FOLDER / name / "said.txt").write_text(said(name))
