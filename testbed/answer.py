"""Asks the demo's gateway for its health and prints what it says (``python -m testbed.answer``)."""

import os
import sys
from pathlib import Path

import urllib3

from testbed.api import Api

_STATUS_PORT = 15021


def main() -> int:
    """GET the gateway's health page at its load balancer address; exit status 1 unless it answers 200."""
    api = Api(Path(os.environ["KUBECONFIG"]))
    service = api.get("/api/v1/namespaces/istio-ingress/services/istio-ingress")
    url = f"http://{service['status']['loadBalancer']['ingress'][0]['ip']}:{_STATUS_PORT}/healthz/ready"
    status = urllib3.request("GET", url, timeout=5.0).status
    print(f"GET {url} answers {status}")
    return 0 if status == 200 else 1  # noqa: PLR2004


if __name__ == "__main__":
    sys.exit(main())
