"""What one cluster is: names, addresses and paths, written once when it is made."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path


class Nodes(StrEnum):
    """How a cluster gets its nodes; NONE has no pods that run, and an istiod beside the API server."""

    REAL = "real"
    SIMULATED = "simulated"
    NONE = "none"


class Cloud(StrEnum):
    """The clouds that a cluster can have a fake of."""

    EKS = "eks"
    AKS = "aks"
    GKE = "gke"


class Account(StrEnum):
    """What the account, subscription or project of a fake cloud is like: as in a tutorial, or as in a large company."""

    PLAIN = "plain"
    AWKWARD = "awkward"


class Engine(StrEnum):
    """What keeps a cluster as a Git repository says."""

    ARGOCD = "argocd"
    FLUX = "flux"


# Inside the cluster's mount namespace its state folder is always here: short
# enough for socket paths, and the same in every cluster's configuration.
INSIDE = Path("/run/testbed")

SERVICE_CIDR = "10.201.0.0/16"
POD_CIDR = "10.202.0.0/16"
KUBERNETES_SERVICE = "10.201.0.1"
NODE_NAME = "node1"
API_PORT = 6443
# Where a fake cloud that is a process of the cluster listens: an API, or the proxy that leads to one.
CLOUD_PORT = 4566
# Where engines find Git repositories and charts, by TLS, on the node's address.
HUB_PORT = 5000
# Where the sockets and certificates are that a proxy's own agent would hold (Nodes.NONE).
AGENT_FOLDER = "agent"
# Where its files are in the state folder: a login, certificates, and its addresses once it answers.
CLOUD_FOLDER = "cloud"
CLOUD_ADDRESSES = f"{CLOUD_FOLDER}/addresses.json"


@dataclass(frozen=True, slots=True)
class Spec:
    """One cluster.

    ``index`` (1-250) picks its network; ``parts`` are folders of built parts by name; ``authentication`` are flags
    of the API server that say how it learns who a token is; ``cloud`` is the fake cloud that runs as one of its
    components, if any, and ``account`` what it is like there; ``engines`` run as components, too.
    """

    name: str
    nodes: Nodes
    index: int
    state: str
    parts: dict[str, str]
    authentication: tuple[str, ...] = ()
    cloud: Cloud | None = None
    account: Account = Account.PLAIN
    engines: tuple[Engine, ...] = ()

    @property
    def host_address(self) -> str:
        """The host's end of the link into the cluster."""
        return f"10.210.{self.index}.1"

    @property
    def address(self) -> str:
        """The node's address, where the API server answers."""
        return f"10.210.{self.index}.2"

    @property
    def server(self) -> str:
        """URL of the API server, the same from inside and outside."""
        return f"https://{self.address}:{API_PORT}"

    @property
    def hub(self) -> str:
        """HOST:PORT of the server of Git repositories and charts, where there are engines."""
        return f"{self.address}:{HUB_PORT}"

    @property
    def interface(self) -> str:
        """Name of the host's end of the link."""
        return f"mesh-testbed{self.index}"

    @property
    def cgroup(self) -> str:
        """Folder under each cgroup controller that holds the pods."""
        return f"meshinstall-{self.name}"

    def load_balancer_addresses(self) -> list[str]:
        """Addresses for Services of type LoadBalancer, in the order they are given out."""
        return [f"10.210.{self.index}.{last}" for last in range(100, 200)]

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=2)


def load(path: Path) -> Spec:
    """Read what ``dump`` wrote, also that of another version of the testbed, whose clusters may run beside ours."""
    known = {one.name for one in fields(Spec)}
    data = {name: value for name, value in json.loads(path.read_text()).items() if name in known}
    return Spec(
        **{
            **data,
            "nodes": Nodes(data["nodes"]),
            "authentication": tuple(data.get("authentication", ())),
            "cloud": Cloud(data["cloud"]) if data.get("cloud") else None,
            "account": Account(data.get("account", Account.PLAIN)),
            "engines": tuple(Engine(one) for one in data.get("engines", ())),
        }
    )


# Where the files of an Authentication are, as the API server sees it.
AUTHENTICATION = INSIDE / "authentication"


@dataclass(frozen=True, slots=True)
class Authentication:
    """How an API server learns who a token is: more of its flags, and files under AUTHENTICATION that they name."""

    flags: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)


# What answers may listen on the cluster's host_address, which its spec tells, once the cluster is up.
Authenticate = Callable[[Spec], Authentication]
