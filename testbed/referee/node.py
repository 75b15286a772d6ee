"""Who a proxy is to istiod: the node that pilot-agent makes of a pod (istio: pkg/bootstrap/config.go, pkg/model/proxy.go)."""

import json

from testbed import pins
from testbed.api import Json

DOMAIN = "cluster.local"
CLUSTER_ID = "Kubernetes"


def node(pod: Json) -> Json:
    """The Envoy node of a pod's sidecar, as JSON of protobuf; the pod has a status with an address."""
    metadata, address = pod["metadata"], pod["status"]["podIP"]
    name, namespace = metadata["name"], metadata["namespace"]
    return {
        "id": f"sidecar~{address}~{name}.{namespace}~{namespace}.svc.{DOMAIN}",
        "cluster": f"{metadata.get('labels', {}).get('app', name)}.{namespace}",
        "metadata": {
            "NAME": name,
            "NAMESPACE": namespace,
            "LABELS": metadata.get("labels", {}),
            "ANNOTATIONS": metadata.get("annotations", {}),
            "INSTANCE_IPS": address,
            "ISTIO_VERSION": pins.ISTIO,
            "CLUSTER_ID": CLUSTER_ID,
            "MESH_ID": DOMAIN,
            "INTERCEPTION_MODE": "REDIRECT",
            "SERVICE_ACCOUNT": pod["spec"].get("serviceAccountName", "default"),
            "WORKLOAD_NAME": name,
            "POD_PORTS": _pod_ports(pod),
            "PROXY_CONFIG": {"discoveryAddress": "istiod.istio-system.svc:15012", "proxyAdminPort": 15000, "statusPort": 15020},
            "ENVOY_STATUS_PORT": 15021,
            "ENVOY_PROMETHEUS_PORT": 15090,
        },
    }


def _pod_ports(pod: Json) -> str:
    """Named ports are looked up here; a list within a string, for that is what the injector writes."""
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    keys = ("name", "containerPort", "protocol")
    return json.dumps([{key: port[key] for key in keys if key in port} for port in ports])
