"""Tells autoscalers what pods use, as a metrics server does, once a pod is some seconds old (``python -m testbed.engines.metrics SPEC``).

Argo CD calls an autoscaler Degraded that gets no metrics, on every cluster.
"""

import json
import ssl
import sys
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, urlsplit

from testbed import spec
from testbed.api import Api, Json

PORT = 4443
SERVICE, NAMESPACE = "metrics", "kube-system"
# What the API server asks for.
NAME = f"{SERVICE}.{NAMESPACE}.svc"
_API = "metrics.k8s.io/v1beta1"
# A real server has looked at a pod once by then.
_FIRST = timedelta(seconds=10)
_RESOURCE = {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}


class Metrics(BaseHTTPRequestHandler):
    """Answers the API server, which has let the asker in."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer what there is to ask, and what the pods of a namespace use."""
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        match path.strip("/").split("/"):
            case ["apis", "metrics.k8s.io", "v1beta1"]:
                self._send(HTTPStatus.OK, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _API, "resources": [_RESOURCE]})
            case ["apis", "metrics.k8s.io", "v1beta1", "namespaces", namespace, "pods"]:
                self._send(HTTPStatus.OK, _usage(namespace, query))
            case _:
                self._send(HTTPStatus.NOT_FOUND, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404})

    def _send(self, status: HTTPStatus, answer: Json) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _usage(namespace: str, query: str) -> Json:
    pods = Api(spec.INSIDE / "kubeconfig").get(f"/api/v1/namespaces/{quote(namespace)}/pods?{query}")["items"]
    now = datetime.now(UTC).replace(microsecond=0)
    items = [_pod(pod, now) for pod in pods if now - datetime.fromisoformat(pod["status"].get("startTime", now.isoformat())) >= _FIRST]
    return {"kind": "PodMetricsList", "apiVersion": _API, "metadata": {}, "items": items}


def _pod(pod: Json, now: datetime) -> Json:
    usage = {"cpu": "5m", "memory": "20Mi"}
    containers = [{"name": one["name"], "usage": usage} for one in pod["spec"]["containers"]]
    metadata = {name: pod["metadata"][name] for name in ("name", "namespace", "labels")}
    return {"metadata": metadata, "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}", "window": "15s", "containers": containers}


def register(api: Api, of: spec.Spec, authority: str) -> None:
    """Make the API server send questions about metrics here; ``authority`` is a CA in Base64."""
    about = {"name": SERVICE, "namespace": NAMESPACE}
    folder = f"/namespaces/{NAMESPACE}"
    api.post(f"/api/v1{folder}/services", {"metadata": about, "spec": {"ports": [{"name": "https", "port": 443, "targetPort": PORT}]}})
    endpoints = {
        "metadata": {**about, "labels": {"kubernetes.io/service-name": SERVICE}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [of.address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
    }
    api.post(f"/apis/discovery.k8s.io/v1{folder}/endpointslices", endpoints)
    group, version = _API.split("/")
    service = {"service": about, "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100}
    body = {"metadata": {"name": f"{version}.{group}"}, "spec": {**service, "caBundle": authority}}
    api.post("/apis/apiregistration.k8s.io/v1/apiservices", body)


def main() -> None:
    """Serve until the end of the cluster."""
    of = spec.load(Path(sys.argv[1]))
    pki = spec.INSIDE / "pki"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "metrics.crt", pki / "metrics.key")
    server = ThreadingHTTPServer((of.address, PORT), Metrics)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
