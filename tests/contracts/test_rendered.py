"""What ``render`` writes is what ``up`` installs: each object of each site is held against the plan for an empty cluster."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meshinstall.adapters.charts.store import ChartStore
from meshinstall.adapters.helm.client import PyHelm
from meshinstall.config.lockfile import Lock
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.engine.planning import make_plan
from meshinstall.engine.rehearsal.rendering import render
from meshinstall.engine.report.lint import find_sites, written_environments
from meshinstall.engine.report.render import Means, render_sites
from meshinstall.engine.session import Session
from meshinstall.gitops.terms import RenderedSite, Step
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.plan import ObjectStep, ReleaseStep
from meshinstall.model.release import ChartRef, Manifest
from meshinstall.model.request import Request
from meshinstall.model.trial import ApiKind, Ground
from tests.fakes import World

pytestmark = [pytest.mark.tools, pytest.mark.anyio]

# Another Kubernetes than the one that is told to helm where none is asked, with kinds that charts may look for.
GROUND = Ground("1.33.1-gke.1779000", {("policy/v1", "PodDisruptionBudget"): ApiKind("poddisruptionbudgets", namespaced=True)})
PROJECT = """\
apiVersion: meshinstall.dev/v1
charts: {source: CHARTS}
istio: {version: 1.31.0, ISTIO}
policies: {baseline: deny-by-default, namespaces: [shop]}
environments:
  dev: {cloud: local, profile: ambient, mtls: PERMISSIVE}
  prod:
    profile: production
    gateways: {partners: {namespace: istio-ingress, order: 1, exposure: internal}}
    clouds: {aks: {}, eks: {}, gke: {values: {istiod: {autoscaleMax: 8}}}}
  edge: {profile: ambient, cloud: gke}
"""
POLICY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop, labels: {}}
spec: {rules: [{from: [{source: {namespaces: [shop]}}]}]}
"""


def plain(manifest: Manifest, namespace: str = "") -> Manifest:
    """An object with the namespace in which helm makes it, and without empty labels and annotations, which are none."""
    metadata = {**manifest["metadata"], **({"namespace": namespace} if namespace else {})}
    return {**manifest, "metadata": {name: value for name, value in metadata.items() if value or name not in {"labels", "annotations"}}}


async def installed(request: Request, folder: Path, session: Session) -> tuple[dict[ObjectKey, Manifest], dict[str, str]]:
    """Every object that a plan for an empty cluster makes, and the CRDs as texts by name."""
    project = load_project(folder / "meshinstall.yaml", {}, folder)
    plan = await make_plan(resolve(request, project), session, explains=False)
    objects: dict[ObjectKey, Manifest] = {}
    crds: dict[str, str] = {}
    for step in plan.steps:
        if isinstance(step, ObjectStep):
            assert key_of(step.manifest) not in objects
            objects[key_of(step.manifest)] = plain(step.manifest)
        elif isinstance(step, ReleaseStep):
            made = await render(step, step.values, GROUND, session)
            crds |= {name: text.strip() for name, text in made.crds.items()}
            for one in made.objects:
                namespaced = "namespace" in one["metadata"] or not one["kind"].startswith(("Cluster", "Validating", "Mutating"))
                found = plain(one, step.release.namespace if namespaced and "namespace" not in one["metadata"] else "")
                objects[key_of(found)] = found
    return objects, crds


@pytest.mark.parametrize("istio", ["revisions: false", "revisions: true, tags: [stable]"])
async def test_rendered_is_installed_object_by_object(istio: str, build_part: Callable[[str], Path], tmp_path: Path) -> None:
    charts = build_part("charts")
    (tmp_path / "policies/base").mkdir(parents=True)
    (tmp_path / "policies/base/web.yaml").write_text(POLICY)
    (tmp_path / "meshinstall.yaml").write_text(PROJECT.replace("CHARTS", str(charts)).replace("ISTIO", istio))
    project = load_project(tmp_path / "meshinstall.yaml", {}, tmp_path)
    store, helm = ChartStore(tmp_path / "cache", print), PyHelm(executable=str(build_part("helm4") / "helm"))
    names = ("base", "istiod", "gateway", "cni", "ztunnel")
    pins = Lock(tuple([await store.resolve(ChartRef(name, "1.31.0", str(charts))) for name in names]))
    sites = find_sites(project, written_environments(project, None), None)
    rendered = await render_sites(Request(), project, sites, Means(store, pins, helm))
    assert [site.path for site in rendered] == ["dev/local", "edge/gke", "prod/aks", "prod/eks", "prod/gke"]
    for site in rendered:
        world = World()
        world.kube.objects["/version"] = {"metadata": {}, "gitVersion": f"v{GROUND.kubernetes}"}
        session = replace(world.session(), charts=store, helm=helm, chart_pins=pins)
        request = Request(environment=site.desired.environment, cloud=site.desired.cloud)
        _compare(site, *await installed(request, tmp_path, session))


def _compare(site: RenderedSite, objects: dict[ObjectKey, Manifest], crds: dict[str, str]) -> None:
    ours = {item.key: item.manifest for item in site.items if item.step is not Step.CRDS}
    assert ours.keys() == objects.keys()
    for key, manifest in ours.items():
        assert manifest == objects[key], f"{site.path}: {key}"
    assert {item.key.name: item.text.strip() for item in site.items if item.step is Step.CRDS} == crds
    assert len(crds) == 15
