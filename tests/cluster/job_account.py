"""The ServiceAccount of a rendered job as somebody who runs meshinstall from outside: its token in a kubeconfig."""

import json
from pathlib import Path

from testbed.cluster import Cluster
from tests.cluster.mesh import namespace

NAMESPACE = ACCOUNT = "meshinstall"
_RBAC = "rbac.authorization.k8s.io"


def administrator(cluster: Cluster) -> Path:
    """The kubeconfig of that account where it may do all, to see what it does."""
    api = cluster.api()
    api.post("/api/v1/namespaces", namespace(NAMESPACE))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}}
    api.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "everything"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    api.post(f"/apis/{_RBAC}/v1/clusterrolebindings", binding)
    return kubeconfig(cluster)


def kubeconfig(cluster: Cluster) -> Path:
    """A kubeconfig with a token of the account, which must be there; the token lasts three hours."""
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3 * 3600}}
    answer = cluster.api().post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token", asked)
    content = json.loads(cluster.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": answer["status"]["token"]}
    file = cluster.state / f"{ACCOUNT}.kubeconfig"
    file.touch(mode=0o600)
    file.write_text(json.dumps(content))
    return file
