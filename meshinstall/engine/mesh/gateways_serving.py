"""Asks the pods of gateways what their Envoys serve.

Requests: for each gateway its pods, and some port-forwards to each that is Ready.
"""

from collections.abc import Mapping

from meshinstall.engine.mesh.gateway_config import ask_gateway_config
from meshinstall.engine.mesh.gateway_pods import GatewayPod, read_ready_pod
from meshinstall.engine.mesh.large_answers import Beside
from meshinstall.engine.mesh.reader import short
from meshinstall.engine.objects.readiness import pods_of
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.gateway_config import GatewayConfig
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest


async def ask_gateways(session: Session, workloads: Mapping[ObjectKey, Manifest]) -> dict[str, GatewayConfig | str]:
    """What the gateways serve whose pods are of these workloads, by ``namespace/name``; in words why that is not known."""
    beside = Beside()
    answers = await gather(workloads, lambda key: _ask(session, key.namespace, workloads[key], beside))
    return {f"{key.namespace}/{key.name}": answers[key] for key in sorted(answers)}


async def _ask(session: Session, namespace: str, workload: Manifest, beside: Beside) -> GatewayConfig | str:
    """All of its pods together: each is given the same."""
    try:
        path = object_path("v1", "pods", namespace)
        items = [item async for item in session.kube.list(path, labels=pods_of(workload))]
        pods = [pod for item in items if (pod := read_ready_pod(item))]
        if not pods:
            return "it has no pod that is Ready"
        config = GatewayConfig()
        for one in [await _one(session, pod, beside) for pod in pods]:
            config |= one
    except (ClusterError, ValueError) as error:
        return short(error)
    return config


async def _one(session: Session, pod: GatewayPod, beside: Beside) -> GatewayConfig:
    return await ask_gateway_config(pod, session.pods, session.certificates, beside)
