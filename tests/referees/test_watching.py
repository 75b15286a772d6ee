"""Whose policies istiod counts by its discoverySelectors is what meshinstall reads from them."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from meshinstall.checks.mtls.peer_authentication import policies_by_revision
from meshinstall.engine.mesh import kube_objects
from meshinstall.model.mesh import ControlPlane, MeshFacts, Mode, NamespaceFacts, Place
from testbed.api import Json
from testbed.referee.crds import ROOT_NAMESPACE
from testbed.referee.plane import Plane
from testbed.waiting import until
from tests.referees import judges, kinds

pytestmark = pytest.mark.tools

LABELS = {"watched": {"mesh": "yes"}, "teams": {"mesh": "no", "team": "x"}, "bare": {}, ROOT_NAMESPACE: {}}
SPACES = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}} for name, labels in LABELS.items()]
PODS = [
    kinds.pod(f"{name}/web", f"10.203.0.{number}", kinds.MESH_TLS) for number, name in enumerate(LABELS, start=1) if name != ROOT_NAMESPACE
]
POLICIES = [
    kinds.istio("PeerAuthentication", f"{name}/default", {"mtls": {"mode": "STRICT" if name == ROOT_NAMESPACE else "DISABLE"}})
    for name in LABELS
]
PORT = 8080
ROOT = f"{{matchLabels: {{kubernetes.io/metadata.name: {ROOT_NAMESPACE}}}}}"
# The referees' own marker must be seen.
OWN = "{matchLabels: {kubernetes.io/metadata.name: referee}}"


@pytest.fixture(scope="module")
def there(mesh: Plane) -> Iterator[Plane]:
    mesh.apply(*SPACES)
    stored = mesh.apply(*POLICIES, *PODS)
    yield mesh
    mesh.remove(*stored)


@pytest.mark.parametrize(
    "selectors",
    [
        "",
        "{matchLabels: {mesh: 'yes'}}",
        f"{{matchLabels: {{mesh: 'yes'}}}}, {ROOT}",
        "{matchExpressions: [{key: team, operator: DoesNotExist}]}",
        "{matchExpressions: [{key: mesh, operator: NotIn, values: ['yes', other]}]}",
        "{matchExpressions: [{key: mesh, operator: Exists}]}",
        "{matchLabels: {mesh: 'no'}, matchExpressions: [{key: team, operator: In, values: [x, z]}]}",
        "{matchLabels: {mesh: 'yes'}, matchExpressions: [{key: team, operator: Exists}]}",
        f"{{}}, {ROOT}",
    ],
)
def test_istiod_counts_the_policies_of_the_namespaces_that_it_watches(there: Plane, selectors: str) -> None:
    config = {"mesh": f"discoverySelectors: [{selectors}, {OWN}]" if selectors else ""}
    there.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": ROOT_NAMESPACE, "name": "istio"}, "data": config})
    expected = _read({"data": config})
    until(lambda: _told(there) == expected, 20, lambda: f"meshinstall reads {expected}, istiod does {_told(there)}")


def _read(config: Json) -> dict[str, Mode]:
    plane = ControlPlane(
        Place(ROOT_NAMESPACE, "istiod"), "default", "1.31.0", ROOT_NAMESPACE, "", discovery=kube_objects.mesh_settings(config).discovery
    )
    namespaces = {name: NamespaceFacts(name, {**labels, "kubernetes.io/metadata.name": name}) for name, labels in LABELS.items()}
    stored = [{**one, "metadata": {**one["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}} for one in POLICIES]
    found = MeshFacts(datetime(2026, 1, 1, tzinfo=UTC), (plane,), namespaces, policies=tuple(map(kube_objects.peer_policy, stored)))
    (policies,) = policies_by_revision(found).values()
    return {pod["metadata"]["namespace"]: policies.merged(judges.pod_of(pod)).at(PORT).mode for pod in PODS}


def _told(mesh: Plane) -> dict[str, Mode]:
    sent = mesh.ask(*PODS, listeners=True)
    return {pod["metadata"]["namespace"]: judges.mode_at(one, PORT) for pod, one in zip(PODS, sent, strict=True)}
