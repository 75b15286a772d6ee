"""Whether a client's certificate reaches a port: the PeerAuthentications of a workload."""

from collections.abc import Mapping
from datetime import UTC, datetime

from meshinstall.checks.authz.seen import UnknownError
from meshinstall.checks.mtls.peer_authentication import Effective
from meshinstall.checks.mtls.peer_authentication import Policies as Peers
from meshinstall.checks.policies.reading import Policies, port_number, selector, table, word
from meshinstall.model.authz import Workload
from meshinstall.model.mesh import Dataplane, Mode, PeerPolicy, Place, Pod
from meshinstall.model.policy_object import PolicyObject

# Files do not tell which of two objects is older; a cluster does.
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def peers(policies: Policies) -> Peers:
    """All PeerAuthentications of the files."""
    return Peers.of((_peer(one) for one in policies.of("PeerAuthentication")), policies.root_namespace)


def mode_at(found: Peers, workload: Workload, port: int) -> Effective:
    """The mode of a port, and what sets it; raises UnknownError where the older of two decides."""
    merged = found.merged(_pod(workload))
    for first, second in merged.shadowed:
        if _NO_TIME in {first.created, second.created}:
            raise UnknownError(f"which of the PeerAuthentications {first.place} and {second.place} is older")
    return merged.at(port)


def port_modes(found: Peers, workload: Workload) -> Mapping[int, Mode]:
    """The ports of a workload that have a mode of their own."""
    merged = found.merged(_pod(workload))
    return merged.workload.ports if merged.workload else {}


def _pod(workload: Workload) -> Pod:
    return Pod(Place(workload.namespace, ""), "", Dataplane.SIDECAR, labels=workload.labels)


def _peer(policy: PolicyObject) -> PeerPolicy:
    ports = {port_number(str(port)): _mode(mtls) for port, mtls in table(policy.spec.get("portLevelMtls")).items()}
    return PeerPolicy(
        place=Place(policy.namespace, policy.name),
        created=policy.created or _NO_TIME,
        mode=_mode(policy.spec.get("mtls")),
        selector=selector(policy) or {},
        ports={port: mode for port, mode in ports.items() if port is not None},
    )


def _mode(mtls: object) -> Mode:
    name = word(table(mtls).get("mode"))
    return Mode(name) if name in set(Mode) else Mode.UNSET


def object_of(policies: Policies, peer: PeerPolicy) -> PolicyObject:
    """The object that a policy was read from."""
    return next(one for one in policies.of("PeerAuthentication") if Place(one.namespace, one.name) == peer.place)
