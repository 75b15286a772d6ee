"""Evaluates the rules that istio-iptables prints, as Linux does for the first packet of a TCP connection over IPv4."""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path

_RULES = re.compile(r"iptables restore with: iptables-restore and the following input:\n(.*?)COMMIT\n(?=\d{4}-)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Packet:
    """``interface`` is where it arrives or leaves; ``user`` and ``group`` are its sender's, for what leaves."""

    port: int
    target: str = "10.0.0.8"
    source: str = "10.9.9.9"
    interface: str = "eth0"
    user: int | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Chains of each table, as they are after all commands."""

    tables: Mapping[str, Mapping[str, Sequence[Sequence[str]]]] = field(default_factory=dict)

    def redirected(self, packet: Packet, *tables: str, chain: str) -> str:
        """The port of the proxy that takes a packet, empty when it goes to its own target."""
        for table in tables:
            if found := self._walk(table, chain, packet):
                return found if found not in {"RETURN", "ACCEPT"} else ""
        return ""

    def arrives(self, packet: Packet) -> str:
        """Which port of the proxy takes what comes from outside."""
        found = self.redirected(packet, "mangle", chain="PREROUTING")
        return found or self.redirected(packet, "nat", chain="PREROUTING")

    def leaves(self, packet: Packet) -> str:
        """Which port of the proxy takes what an application sends."""
        return self.redirected(packet, "nat", chain="OUTPUT")

    def _walk(self, table: str, chain: str, packet: Packet) -> str:
        for rule in self.tables.get(table, {}).get(chain, ()):
            target, options = _target(rule)
            if not _matches(options, packet):
                continue
            match target:
                case "REDIRECT" | "TPROXY":
                    return rule[rule.index("--to-ports" if target == "REDIRECT" else "--on-port") + 1]
                case "RETURN" | "ACCEPT":
                    return "" if target == "RETURN" and chain not in {"PREROUTING", "OUTPUT"} else target
                case "MARK" | "CONNMARK":
                    continue
                case _:
                    # What returns from a chain goes on behind the jump.
                    if found := self._walk(table, target, packet):
                        return found
        return ""


def rules(agent: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> Rules:
    """What the real ``pilot-agent istio-iptables`` would set up."""
    command = [str(agent), "istio-iptables", "--dry-run", *arguments]
    told = subprocess.run(command, env=dict(environment), check=True, capture_output=True, text=True).stdout
    found = _RULES.search(told)
    assert found, told
    tables: dict[str, dict[str, list[list[str]]]] = {}
    chains: dict[str, list[list[str]]] = {}
    for line in found[1].splitlines():
        words = line.split()
        match words[0]:
            case "*":
                chains = tables.setdefault(words[1], {})
            case "-A":
                chains.setdefault(words[1], []).append(words[2:])
            case "-I":
                chains.setdefault(words[1], []).insert(int(words[2]) - 1, words[3:])
            case "-N" | "COMMIT":
                pass
            case _:
                raise AssertionError(line)
    return Rules(tables)


def _target(rule: Sequence[str]) -> tuple[str, Sequence[str]]:
    where = rule.index("-j")
    return rule[where + 1], rule[:where]


def _matches(options: Sequence[str], packet: Packet) -> bool:
    rest, inverted = iter(options), False
    for option in rest:
        if option == "!":
            inverted = True
            continue
        if _match(option, next(rest), packet) is inverted:
            return False
        inverted = False
    return True


def _match(option: str, value: str, packet: Packet) -> bool:
    found: Mapping[str, Callable[[], bool]] = {
        "-p": lambda: value == "tcp",
        "-m": lambda: True,
        "--dport": lambda: any(packet.port in one for one in _ports(value)),
        "-i": lambda: _is_interface(value, packet.interface),
        "-o": lambda: _is_interface(value, packet.interface),
        "-d": lambda: ip_address(packet.target) in ip_network(value, strict=False),
        "-s": lambda: ip_address(packet.source) in ip_network(value, strict=False),
        "--uid-owner": lambda: packet.user == int(value),
        "--gid-owner": lambda: packet.group == int(value),
        # Matches that a new connection without a mark never has.
        "--ctstate": lambda: False,
        "--mark": lambda: False,
    }
    return found[option]()


def _is_interface(value: str, interface: str) -> bool:
    return interface.startswith(value[:-1]) if value.endswith("+") else interface == value


def _ports(listed: str) -> Iterator[range]:
    for one in listed.split(","):
        first, colon, last = one.partition(":")
        yield range(int(first or 0), int(last or (65535 if colon else first)) + 1)
