"""Our reading of a pod's spec against the rules that Istio makes of it: for any arguments, both send the same packets to the proxy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from meshinstall.checks.mtls.capture import may_pass_by, passes_by
from meshinstall.checks.mtls.coverage import coverage_evidence
from meshinstall.engine.mesh.pods import joined
from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.model.mesh import PROXY_PORTS, Pod
from tests.referees.iptables import Packet, Rules, rules

PORTS = (22, 80, 8080, 8085, 9000, 15002, 15008, 15020, 15021, 15090)
TARGETS = ("10.1.2.3", "10.9.0.1", "192.168.7.7")
DECLARED = (80, 8080, 15002, 15008, 15020)
# Of a user or group that no spec and no argument names.
NOBODY = 4242
_IDS = (0, 1000, 1337, 2000)
_PORT_LIST = st.lists(st.sampled_from([*map(str, PORTS), "8080:8090", ":80", "9000:"]), max_size=3).map(",".join)
_NETWORKS = st.lists(st.sampled_from(["10.0.0.0/8", "10.1.2.3/32", "10.9.3.3/16", "192.168.0.0/16", "fd00::/8", "0.0.0.0/0"]), max_size=3)
_INTERFACES = st.lists(st.sampled_from(["eth0", "net1", "net2", "eth+", "lo"]), max_size=2).map(",".join)
_USERS = st.lists(st.sampled_from(_IDS).map(str), min_size=1, max_size=2).map(",".join)
_GROUPS = st.lists(st.sampled_from(_IDS).map(str), max_size=2).map(",".join)
_VALUES: Mapping[str, st.SearchStrategy[str]] = {
    "-b": st.just("*") | _PORT_LIST,
    "-d": _PORT_LIST,
    "-i": st.just("*") | _NETWORKS.map(",".join),
    "-x": _NETWORKS.map(",".join),
    "-o": _PORT_LIST,
    "-q": _PORT_LIST,
    "-u": _USERS,
    "-g": _USERS,
    "-m": st.sampled_from(["REDIRECT", "TPROXY"]),
    "-c": _INTERFACES,
    "-k": st.sampled_from(["vif0", "vif0,net2"]),
    "-e": st.sampled_from(["15008", "9000"]),
}
_VARIABLES = {
    "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE": _PORT_LIST,
    "ISTIO_SERVICE_CIDR": st.sampled_from(["*", "10.0.0.0/8"]),
    "ISTIO_EXCLUDE_INTERFACES": _INTERFACES,
    "INBOUND_TUNNEL_PORT": st.sampled_from(["15008", "8080"]),
    "ISTIO_OUTBOUND_OWNER_GROUPS": st.just("*") | _GROUPS,
    "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": _GROUPS,
}


@dataclass(frozen=True, slots=True)
class Setup:
    """Arguments and environment of istio-init, and who the application runs as, None where the spec leaves that to the image."""

    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    user: int | None
    group: int | None

    def pod(self) -> Pod:
        """What is read of a pod like this."""
        context = {key: value for key, value in (("runAsUser", self.user), ("runAsGroup", self.group)) if value is not None}
        env = [{"name": name, "value": value} for name, value in self.environment]
        app = {"name": "app", "securityContext": context, "ports": [{"containerPort": port} for port in DECLARED]}
        init = {"name": "istio-init", "args": ["istio-iptables", *self.arguments], "env": env}
        spec = {"initContainers": [init], "containers": [app, {"name": "istio-proxy", "args": ["proxy", "sidecar"]}]}
        item: dict[str, Any] = {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": {"phase": "Running"}}
        seen = read_pod(item, frozenset())
        assert seen
        ((found,), _) = joined([seen], ())
        return found

    @property
    def virtual(self) -> Sequence[str]:
        """Interfaces of virtual machines."""
        return dict(zip(self.arguments[::2], self.arguments[1::2], strict=True)).get("-k", "").split(",")


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    """Any arguments beside or instead of the usual ones, of which one may be missing."""
    usual = {"-u": "1337", "-m": "REDIRECT", "-i": "*", "-b": "*", "-d": "15090,15021,15020"}
    given = usual | {flag: draw(values) for flag, values in _VALUES.items() if draw(st.booleans())}
    variables = draw(st.lists(st.sampled_from(sorted(_VARIABLES)), max_size=2, unique=True))
    missing = draw(st.sampled_from([None, *usual]))
    arguments = [part for flag, value in given.items() if flag != missing for part in (flag, value)]
    environment = tuple((name, draw(_VARIABLES[name])) for name in variables)
    ids = st.none() | st.sampled_from(_IDS)
    return Setup(tuple(arguments), environment, draw(ids), draw(ids))


def disagreements(setup: Setup, agent: Path) -> list[str]:
    """What our reading and the rules say differently."""
    found, pod = rules(agent, setup.arguments, dict(setup.environment)), setup.pod()
    return [*_inbound(setup, pod, found), *_outbound(setup, pod, found)]


def _inbound(setup: Setup, pod: Pod, found: Rules) -> Iterator[str]:
    tproxy = "TPROXY" in setup.arguments
    for port in PORTS:
        known = port in DECLARED or port in pod.bypassed
        if not known and port in PROXY_PORTS:
            continue
        code = coverage_evidence(pod, port if known else 0, {}).code
        first = found.arrives(Packet(port)) == "15006"
        others = {name: found.arrives(Packet(port, interface=name)) == "15006" for name in ("net1", "net2", "net9", "vif0")}
        taken = first and all(others.values())
        # A list leaves out some ports that nobody declared, and a virtual machine's interface is redirected by TPROXY all the same.
        wrong = {
            "": not taken,
            "MTL021": first and known,
            "MTL022": first,
            "MTL029": not first or (all(others.values()) and not tproxy and set(pod.interfaces) & set(others)),
        }[code]
        if wrong:
            yield f"inbound {port}: {code or 'captured'}, while the rules say {first} and {others}"


def _outbound(setup: Setup, pod: Pod, found: Rules) -> Iterator[str]:
    user = NOBODY if setup.user is None else setup.user
    group = NOBODY if setup.group is None else setup.group
    for port, target in product(PORTS, TARGETS):
        ours = passes_by(pod, target, port)
        packet = Packet(port, target, "10.0.0.8", "eth0", user, group)
        bypassed = found.leaves(packet) != "15001"
        machines = [found.redirected(Packet(port, target, "10.5.5.5", name), "nat", chain="PREROUTING") for name in setup.virtual if name]
        expected = bypassed or any(one != "15001" for one in machines)
        if bool(ours) != expected and not may_pass_by(pod):
            yield f"outbound {target}:{port}: {ours or 'captured'}, while the rules say {expected}"
        if not ours and not may_pass_by(pod):
            other = Packet(port, target, "10.0.0.8", "net1", user, group)
            if found.leaves(other) != "15001":
                yield f"outbound {target}:{port} by net1: captured, while the rules say that it is not"
