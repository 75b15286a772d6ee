"""Reads istiod's debug endpoint on its own loopback.

istiod answers everything to its loopback and, since 1.29, close to nothing to
others (istio: pilot/pkg/xds/debug.go, allowAuthenticatedOrLocalhost).
"""

from meshinstall.errors import ClusterError
from meshinstall.model import json_text
from meshinstall.model.release import Manifest
from meshinstall.ports import Pods

# The port that istioctl asks too.
_PORT = 15014


class IstiodDebug:
    """The debug endpoint of the istiod pods of one cluster."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods

    async def syncz(self, namespace: str, pod: str) -> list[Manifest]:
        """One record (istio: SyncStatus) for each proxy connected to ``pod``; raises ClusterError when it does not answer."""
        data = await self._pods.get(namespace, pod, _PORT, "/debug/syncz")
        try:
            found = json_text.load(data or b"null")
        except ValueError as error:
            raise ClusterError(f"istiod {namespace}/{pod} did not answer in JSON: {error}") from error
        if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
            raise ClusterError(f"istiod {namespace}/{pod} did not answer with a list of proxies")
        return found
