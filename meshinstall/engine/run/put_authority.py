"""Puts the CA of a snapshot where istiod looks for it, before istiod is there; what is there already is never replaced.

Requests: one that creates the Secret, and where that exists one that reads it.
"""

from meshinstall.engine.session import Session
from meshinstall.errors import ConflictError, StepError
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest


async def put_authority(session: Session, secret: Manifest) -> None:
    """Create the Secret; raises StepError where another CA is there, ClusterError for what the API server says."""
    namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
    try:
        await session.kube.create(object_path("v1", "secrets", namespace), secret)
    except ConflictError:
        live = await session.kube.get(object_path("v1", "secrets", namespace, name))
        if live is None or live.get("data") != secret["data"]:
            hint = "look at who made it; delete it if no proxy goes by it, then run the same command again"
            raise StepError(f"Secret {namespace}/{name} holds another CA than the snapshot", hint) from None
