"""Who is an administrator inside a cluster: what a cloud's access entry or role assignment comes to."""

from testbed.api import Api

_RBAC = "rbac.authorization.k8s.io"


def make_administrators(api: Api, kind: str, *names: str) -> None:
    """Bind users or groups (``kind``: User, Group) to cluster-admin, as the cluster's owners would."""
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"admin-{names[0].replace('@', '-')}"},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": _RBAC, "kind": kind, "name": name} for name in names],
    }
    api.post(f"/apis/{_RBAC}/v1/clusterrolebindings", binding)
