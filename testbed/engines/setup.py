"""Gives a cluster what its engines need to start: their kinds, namespaces and settings (``python -m testbed.engines.setup SPEC``)."""

import base64
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from testbed import spec
from testbed.api import Api, Json
from testbed.engines import metrics
from testbed.engines.kinds import NAMESPACES
from testbed.spec import Engine, Nodes, Spec
from testbed.waiting import until

# Seconds.
_PATIENCE = 60
_GROUPS = {Engine.ARGOCD: (".argoproj.io",), Engine.FLUX: (".fluxcd.io",)}
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# As docs/gitops.md tells users.
HEALTH = """\
hs = {status = "Progressing", message = "not synced"}
if obj.status ~= nil and obj.status.health ~= nil then
  if obj.status.health.status ~= "Healthy" or (obj.status.sync ~= nil and obj.status.sync.status == "Synced") then
    hs.status = obj.status.health.status
    hs.message = obj.status.health.message or ""
  end
end
return hs
"""


def main() -> None:
    """Create all of it, and wait until the kinds are served."""
    of = spec.load(Path(sys.argv[1]))
    api = Api(spec.INSIDE / "kubeconfig")
    endings = tuple(ending for engine in of.engines for ending in _GROUPS[engine])
    names = []
    for definition in yaml.load_all((Path(of.parts["engines"]) / "crds.yaml").read_text(), Loader=yaml.CSafeLoader):
        if definition["metadata"]["name"].endswith(endings):
            names.append(definition["metadata"]["name"])
            api.post(_CRDS, definition)
    until(lambda: all(_is_established(api, name) for name in names), _PATIENCE, lambda: "the engines' kinds are not served")
    for engine in of.engines:
        api.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACES[engine]}})
    if of.nodes is Nodes.REAL:
        metrics.register(api, of, base64.b64encode((spec.INSIDE / "pki/ca.crt").read_bytes()).decode())
    if Engine.ARGOCD in of.engines:
        for path, body in _argocd(of):
            api.post(path, body)


def _is_established(api: Api, name: str) -> bool:
    # A new one has null there.
    conditions = api.get(f"{_CRDS}/{name}")["status"].get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _argocd(of: Spec) -> Iterator[tuple[str, Json]]:
    """Settings as its installation has them, and the health of Applications."""
    namespace = NAMESPACES[Engine.ARGOCD]
    folder = f"/api/v1/namespaces/{namespace}"
    settings = {"resource.customizations.health.argoproj.io_Application": HEALTH}
    yield f"{folder}/configmaps", {"metadata": _about("argocd-cm"), "data": settings}
    for name in ("argocd-rbac-cm", "argocd-gpg-keys-cm", "argocd-ssh-known-hosts-cm"):
        yield f"{folder}/configmaps", {"metadata": _about(name)}
    # Where Argo CD's documentation puts a company's CA.
    authority = (spec.INSIDE / "pki/ca.crt").read_text()
    yield f"{folder}/configmaps", {"metadata": _about("argocd-tls-certs-cm"), "data": {of.address: authority}}
    yield f"{folder}/secrets", {"metadata": _about("argocd-secret"), "stringData": {"server.secretkey": "of a testbed"}}
    everything = [{"group": "*", "kind": "*"}]
    project = {"sourceRepos": ["*"], "destinations": [{"namespace": "*", "server": "*"}], "clusterResourceWhitelist": everything}
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"}, "spec": project}
    yield f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/appprojects", body


def _about(name: str) -> Mapping[str, object]:
    """Argo CD reads settings with this label alone."""
    return {"name": name, "labels": {"app.kubernetes.io/part-of": "argocd"}}


if __name__ == "__main__":
    main()
