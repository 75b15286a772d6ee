"""Asks the demo's gateway for its health and prints what it says (``python -m testbed.answer``)."""

import os
import sys
from pathlib import Path

import urllib3

from testbed.api import Api
from testbed.waiting import until

_STATUS_PORT = 15021
# Seconds.
_PATIENCE = 20


def _ask(url: str) -> int | None:
    try:
        return urllib3.request("GET", url, timeout=5.0, retries=False).status
    except urllib3.exceptions.HTTPError:
        return None


def main() -> int:
    """GET the gateway's health page at its load balancer address; exit status 1 unless it answers 200."""
    api = Api(Path(os.environ["KUBECONFIG"]))
    service = api.get("/api/v1/namespaces/istio-ingress/services/istio-ingress")
    url = f"http://{service['status']['loadBalancer']['ingress'][0]['ip']}:{_STATUS_PORT}/healthz/ready"
    # kube-proxy needs a moment to open the address.
    status = until(lambda: _ask(url), _PATIENCE, lambda: f"GET {url}: no answer in {_PATIENCE} s")
    print(f"GET {url} answers {status}")
    return 0 if status == 200 else 1  # noqa: PLR2004


if __name__ == "__main__":
    sys.exit(main())
