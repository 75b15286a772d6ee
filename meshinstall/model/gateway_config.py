"""What a gateway serves, as sets that two gateways can be compared by: no names of pods, versions, statistics or timeouts."""

from dataclasses import dataclass, fields
from typing import NamedTuple


class Listener(NamedTuple):
    """Where a gateway takes connections; ``protocol`` is TCP or UDP."""

    address: str
    port: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        """``0.0.0.0:443``."""
        end = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        return end if self.protocol == "TCP" else f"{end}/{self.protocol}"


class Door(NamedTuple):
    """A filter chain by one of the server names (SNI) that it takes, empty for all others; ``tls`` says what it does with TLS."""

    listener: Listener
    server_name: str
    tls: str

    def __str__(self) -> str:
        """``0.0.0.0:443, server name shop.example.com, terminates TLS``."""
        return ", ".join(filter(None, (str(self.listener), f"server name {self.server_name}" if self.server_name else "", self.tls)))


class Route(NamedTuple):
    """What happens to requests: ``targets`` are clusters by name, or what else is done; of TCP ``domain`` is empty.

    Each is there with an empty ``server_name``, and with each that leads to it and fits its domain.
    """

    listener: Listener
    server_name: str
    domain: str
    match: str
    targets: tuple[str, ...]

    def __str__(self) -> str:
        """``0.0.0.0:80, host shop.example.com, path prefix / → outbound|80||web.shop.svc.cluster.local``."""
        name = f"server name {self.server_name}" if self.server_name and self.server_name != self.domain else ""
        host = f"host {self.domain}" if self.domain else ""
        where = ", ".join(filter(None, (str(self.listener), name, host, self.match)))
        return f"{where} → {' and '.join(self.targets) or 'nothing'}"


class Root(NamedTuple):
    """A certificate that peers are held against: the name of the secret that it is in, and its SHA-256 fingerprint."""

    secret: str
    fingerprint: str

    def __str__(self) -> str:
        """``ROOTCA 0123…``."""
        return f"{self.secret} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The configuration of one gateway, or of several together; ``secrets`` are the names of those that it holds (SDS)."""

    listeners: frozenset[Listener] = frozenset()
    doors: frozenset[Door] = frozenset()
    routes: frozenset[Route] = frozenset()
    secrets: frozenset[str] = frozenset()
    roots: frozenset[Root] = frozenset()

    def __or__(self, other: "GatewayConfig") -> "GatewayConfig":
        """What either has."""
        return GatewayConfig(**{one.name: getattr(self, one.name) | getattr(other, one.name) for one in fields(self)})
