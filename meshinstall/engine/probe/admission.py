"""Creates objects that a webhook of istiod must admit."""

from collections.abc import Callable

import anyio

from meshinstall.engine.mesh.reader import short
from meshinstall.engine.mesh.webhook_answers import CALL_FAILED
from meshinstall.errors import ClusterError
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

# Seconds in which the API server finds its way to istiod: the nodes learn of a Service that was made anew only after it answered
# over connections of before. A webhook that never answers takes the API server's own 10 s, and is not asked twice.
_PATIENCE = 10.0
_LOOK = 0.5


async def create_admitted(kube: Kube, path: str, body: Manifest, say: Callable[[str], None]) -> Manifest:
    """Create an object, again while its webhook cannot be called and time is left; raises ClusterError.

    A request that is on its way arrives before a run ends: else it could make the object after all was removed.
    """
    started, told = anyio.current_time(), False
    while True:
        try:
            with anyio.CancelScope(shield=True):
                return await kube.create(path, body)
        except ClusterError as error:
            if CALL_FAILED not in error.message or anyio.current_time() - started + _LOOK > _PATIENCE:
                raise
            if not told:
                say(f"waiting until the API server can call istiod: {short(error)}")
                told = True
        await anyio.sleep(_LOOK)
