"""How our own clients reach a managed cluster; nothing is written to disk."""

from dataclasses import dataclass

from meshinstall.adapters.cloud.described import context_name, endpoint_of
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.kube.tokens import TokenSource
from meshinstall.model.cluster import CloudCluster, Credential
from meshinstall.ports import Provider


@dataclass(frozen=True, slots=True)
class CloudAccess:
    """Where a managed cluster is and what opens it; ``tokens`` is None where a client certificate does."""

    config: Kubeconfig
    tokens: TokenSource | None


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
