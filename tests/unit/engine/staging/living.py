"""A cluster in memory that lives: charts make objects by their version, and injectors give new pods their proxies."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import yaml

from meshinstall.engine.observe.upgrade_objects import is_switched_off
from meshinstall.model.facts import key_of
from meshinstall.model.paths import path_of
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseStatus
from meshinstall.model.trial import Ground
from meshinstall.model.values import Values
from tests.fake_kube import FakeKube
from tests.fakes import FakeHelm, World, record
from tests.unit.engine import installed, revisioned

NS, INGRESS = "istio-system", "istio-ingress"
INJECTORS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
# A Deployment of a mesh whose pods this cluster makes.
_ROLES = {"gateway": "router", "sidecar": "sidecar"}
_ROLE = "role"


class LivingKube(FakeKube):
    """Makes the pods of Deployments that carry a role; after ``die`` no request is answered any more, as after a SIGKILL."""

    def __init__(self) -> None:
        super().__init__()
        self.is_dead = False

    def fill(self, objects: dict[str, dict[str, Any]]) -> None:
        """Go on with the objects of another."""
        self.objects = objects
        self._version = max(int(item["metadata"].get("resourceVersion", 0)) for item in objects.values())

    async def _ask(self, verb: str, path: str) -> None:
        if self.is_dead:
            await anyio.sleep_forever()
        await super()._ask(verb, path)

    def _store(self, path: str, item: dict[str, Any]) -> dict[str, Any]:
        before = self.objects.get(path)
        if before:
            # Helm does not make again what is there.
            item["metadata"].setdefault("uid", before["metadata"]["uid"])
        stored = super()._store(path, item)
        if path.startswith("/apis/apps/v1/") and item["metadata"].get("labels", {}).get(_ROLE) in _ROLES:
            self._roll(before, self.objects[path])
        return stored

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Remove it, and the pods that it made."""
        await super().delete(path, uid=uid)
        if path.startswith("/apis/apps/v1/"):
            self._stop(path.split("/")[-3], path.rpartition("/")[2])

    def _roll(self, before: Manifest | None, now: Manifest) -> None:
        """A new template has new pods; with a hold those of before stay beside them, until the hold is taken away."""
        space, name, spec = now["metadata"]["namespace"], now["metadata"]["name"], now["spec"]
        is_new = before is None or before["spec"].get("template") != spec.get("template")
        if not spec.get("minReadySeconds"):
            self._stop(space, name, but=0 if is_new else 1)
        if is_new:
            self._start(now)

    def _stop(self, space: str, name: str, *, but: int = 0) -> None:
        pods = f"/api/v1/namespaces/{space}/pods/"
        mine = [path for path, item in self.objects.items() if path.startswith(pods) and item["metadata"]["labels"].get("of") == name]
        for path in mine[: len(mine) - but]:
            del self.objects[path]

    def _start(self, deployment: Manifest) -> None:
        metadata, template = deployment["metadata"], deployment["spec"].get("template", {})
        space, name = metadata["namespace"], metadata["name"]
        revision, version = self.injection(space, (template.get("metadata") or {}).get("labels", {}).get("istio.io/rev", ""))
        args = ["proxy", _ROLES[metadata["labels"][_ROLE]]]
        proxy = {"name": "istio-proxy", "image": f"istio/proxyv2:{version}", "args": args}
        owner = {"kind": "ReplicaSet", "name": f"{name}-h", "controller": True}
        labels = {"pod-template-hash": "h", "of": name, "istio.io/rev": revision}
        number = self._version
        pod = {"metadata": {"name": f"{name}-{number}", "namespace": space, "labels": labels, "ownerReferences": [owner]}}
        path = f"/api/v1/namespaces/{space}/pods/{name}-{number}"
        self.objects[path] = {**pod, "spec": {"containers": [proxy]}, "status": {"phase": "Running"}}

    def injection(self, space: str, pinned: str) -> tuple[str, str]:
        """The revision and version of the proxy of a new pod, by the webhooks that match it, of which the last by name counts."""
        labels = self.objects[f"/api/v1/namespaces/{space}"]["metadata"].get("labels") or {}
        selector = pinned or ("default" if labels.get("istio-injection") == "enabled" else labels.get("istio.io/rev", "default"))
        found = [item for path, item in sorted(self.objects.items()) if path.startswith(INJECTORS) and not is_switched_off(item)]
        matching = [item for item in found if _name_of(item) == selector]
        assert matching, f"a new pod of {space} would get no proxy: nothing injects {selector}"
        # The injector's name is before that of a tag here and after it there: of istio-revision-tag and istio-sidecar-injector the last.
        revision = matching[-1]["metadata"]["labels"]["istio.io/rev"]
        name = "istiod" if revision == "default" else f"istiod-{revision}"
        (container,) = self.objects[f"/apis/apps/v1/namespaces/{NS}/deployments/{name}"]["spec"]["template"]["spec"]["containers"]
        return revision, container["image"].rpartition(":")[2]


def _name_of(injector: Manifest) -> str:
    labels: Mapping[str, str] = injector["metadata"]["labels"]
    return labels.get("istio.io/tag") or labels["istio.io/rev"]


class LivingHelm(FakeHelm):
    """Makes objects of a chart's version and values; what is killed in its middle leaves a record that is pending."""

    async def upgrade(self, key: ReleaseKey, archive: Path, values: Values, *, description: str, force: bool = False) -> None:
        """Write a pending record, begin, and bring the objects."""
        name, _, version = archive.stem.rpartition("-")
        self.brings[key] = made(name, key, version, values)
        found = self._releases.records.get(key)
        if not (found and found.status.is_pending):
            status = ReleaseStatus.PENDING_UPGRADE if found else ReleaseStatus.PENDING_INSTALL
            revision = found.revision + 1 if found else 1
            pending = record(key, name, version, revision=revision, values=values, description=description, status=status)
            self._releases.records[key] = replace(pending, manifest="")
            await anyio.lowlevel.checkpoint()
            await self._kube.get("/version")
            if found:
                self._releases.records[key] = found
            else:
                del self._releases.records[key]
        await super().upgrade(key, archive, values, description=description, force=force)

    async def uninstall(self, key: ReleaseKey) -> None:
        """Delete the objects, and the record at last, as helm does."""
        self.calls.append(f"uninstall {key}")
        if key in self.before:
            await self.before[key]()
        gone = self._releases.records[key]
        self._releases.records[key] = replace(gone, status=ReleaseStatus.UNINSTALLING)
        for item in yaml.safe_load_all(gone.manifest):
            if item["kind"] != "CustomResourceDefinition":
                await self._kube.delete(path_of(key_of(item, key.namespace)))
        del self._releases.records[key]

    async def template(self, key: ReleaseKey, archive: Path, values: Values, ground: Ground, *, upgrade: bool = False) -> str:
        """What the chart makes."""
        name, _, version = archive.stem.rpartition("-")
        self.renders[key] = lambda told: made(name, key, version, told)
        return await super().template(key, archive, values, ground, upgrade=upgrade)


def made(chart: str, key: ReleaseKey, version: str, values: Values) -> tuple[Manifest, ...]:
    """The objects of a chart."""
    match chart:
        case "base":
            return tuple(_base(values))
        case "istiod":
            return tuple(_istiod(key, version, values))
    return tuple(_gateway(key, version, values))


def _base(values: Values) -> Iterator[Manifest]:
    yield installed.crd("gateways.networking.istio.io")
    revision = values.get("defaultRevision") or "default"
    hook = revisioned.webhook("validation.", "" if revision == "default" else revision)
    metadata = {"name": "istiod-default-validator", "labels": {"istio.io/rev": revision}}
    api = "admissionregistration.k8s.io/v1"
    yield {"apiVersion": api, "kind": "ValidatingWebhookConfiguration", "metadata": metadata, "webhooks": [hook]}


def _istiod(key: ReleaseKey, version: str, values: Values) -> Iterator[Manifest]:
    revision = values.get("revision") or "default"
    yield revisioned.deployment(revision, f"istio/pilot:{version}", key.name)
    selector = {"app": "istiod", "istio.io/rev": revision}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": key.name, "namespace": NS}}
    yield {**service, "spec": {"type": "ClusterIP", "selector": selector}}
    hooks = [revisioned.webhook("rev.namespace.", revision, {"key": "istio.io/rev", "operator": "In", "values": [revision]})]
    if revision == "default":
        hooks.append(revisioned.webhook("namespace.", "", {"key": "istio-injection", "operator": "In", "values": ["enabled"]}))
    for hook in hooks:
        hook["clientConfig"]["service"]["name"] = key.name
        hook["clientConfig"]["caBundle"] = revisioned.BUNDLE
    suffix = "" if revision == "default" else f"-{revision}"
    metadata = {"name": f"istio-sidecar-injector{suffix}", "labels": {"istio.io/rev": revision, "app": "sidecar-injector"}}
    api = "admissionregistration.k8s.io/v1"
    yield {"apiVersion": api, "kind": "MutatingWebhookConfiguration", "metadata": metadata, "webhooks": hooks}
    for item in revisioned.tags({**values, "revision": revision}):
        for hook in item.get("webhooks", ()):
            hook["clientConfig"]["service"]["name"] = key.name
        yield item


def _gateway(key: ReleaseKey, version: str, values: Values) -> Iterator[Manifest]:
    revision = values.get("revision")
    labels = {"app": key.name, "chart": version, **({"istio.io/rev": revision} if revision else {})}
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": key.name}}, "template": {"metadata": {"labels": labels}, "spec": {}}}
    if seconds := values.get("minReadySeconds"):
        spec["minReadySeconds"] = seconds
    metadata = {"name": key.name, "namespace": key.namespace, "labels": {_ROLE: "gateway"}}
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    ports = [{"port": 443, "nodePort": 30443}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": key.name, "namespace": key.namespace}}
    yield {**service, "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.7"], "ports": ports, "selector": {"app": key.name}}}


def workload(there: World, space: str, name: str) -> None:
    """A Deployment of a tenant, which gets its proxies now."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {}}
    status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    metadata = {"name": name, "namespace": space, "labels": {_ROLE: "sidecar"}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    there.kube.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": status})


def world() -> tuple[World, LivingKube]:
    """An empty cluster that lives."""
    there, like, kube = World(), installed.world(), LivingKube()
    kube.objects, kube.answers = like.kube.objects, like.kube.answers
    there.kube = kube
    there.helm = LivingHelm(kube, there.releases)
    return there, kube
