"""How our own clients reach a managed cluster; nothing is written to disk."""

from dataclasses import dataclass

from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.kube.tokens import TokenSource
from meshinstall.errors import ClusterError
from meshinstall.model.cluster import CloudCluster, Credential, Endpoint
from meshinstall.ports import Provider


@dataclass(frozen=True, slots=True)
class CloudAccess:
    """Where a managed cluster is and what opens it; ``tokens`` is None where a client certificate does."""

    config: Kubeconfig
    tokens: TokenSource | None


def context_name(cluster: CloudCluster) -> str:
    """The name of its context: clusters with the same name in two regions stay apart when kubeconfigs are merged."""
    return f"{cluster.cloud}_{cluster.location}_{cluster.name}"


def endpoint_of(cluster: CloudCluster) -> Endpoint:
    """Its API server; raises ClusterError while there is none, and for one without https, to which no token may be sent."""
    if cluster.endpoint is None:
        raise ClusterError(
            f"cluster {cluster.name} is {cluster.status} and has no API server yet", "wait until the cloud reports it as ready"
        )
    if not cluster.endpoint.server.startswith("https://"):
        raise ClusterError(
            f"the cloud returned {cluster.endpoint.server!r} as the API server of {cluster.name}, which is not an https address"
        )
    return cluster.endpoint


def reach(cluster: CloudCluster, provider: Provider) -> CloudAccess:
    """What opens ``cluster``, with a first credential that all its clients share; raises ClusterError."""
    endpoint = endpoint_of(cluster)
    first = provider.credential()
    config = Kubeconfig(
        source=f"of {cluster.cloud}",
        context=context_name(cluster),
        server=endpoint.server.rstrip("/"),
        authority=endpoint.authority,
        certificate=first.certificate.encode() or None,
        key=first.key.encode() or None,
    )
    return CloudAccess(config, _tokens(first, provider) if first.token else None)


def _tokens(first: Credential, provider: Provider) -> TokenSource:
    waiting = [first]

    def fetch() -> Token:
        credential = waiting.pop() if waiting else provider.credential()
        return Token(credential.token, credential.expires)

    return TokenSource(fetch)
