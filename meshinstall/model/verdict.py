"""The verdict of verify: PASS, FAIL or NOT PROVEN for each port of each workload, with the evidence."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from meshinstall.model.acceptance import Acceptance
from meshinstall.model.callers import Callers
from meshinstall.model.finding import Finding
from meshinstall.model.mesh import CertificateFacts, Dataplane, ExternalService, Place


class Outcome(StrEnum):
    """The three outcomes; only what was observed is PASS."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    NOT_PROVEN = "NOT PROVEN"


class Source(StrEnum):
    """Where a piece of evidence comes from."""

    POLICY = "policy"
    CLIENT = "client"
    PROXY = "proxy"
    CERTIFICATE = "certificate"
    COVERAGE = "coverage"
    WIRE = "wire"


class FailOn(StrEnum):
    """Whose faults count: those of servers, of clients, or of either."""

    SERVER = "server"
    CLIENTS = "clients"
    ANY = "any"


_RANK = {Outcome.FAIL: 0, Outcome.NOT_PROVEN: 1, Outcome.PASS: 2}


def worst(outcomes: Iterable[Outcome]) -> Outcome | None:
    """The worst of some outcomes, None of none."""
    return min(outcomes, key=_RANK.__getitem__, default=None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen and what it means alone; ``object`` is where, ``code`` the finding that explains it (docs/checks.md).

    ``by`` is the policy that it does nothing but carry out.
    """

    source: Source
    outcome: Outcome
    text: str
    object: str = ""
    code: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class PortVerdict:
    """One port of one workload over all its pods; ``port`` 0 stands for every port that nobody declared.

    ``outcome`` is the worst of its evidence, and NOT PROVEN when a kind of evidence is missing. ``ours``: it is our own target.
    """

    namespace: str
    workload: str
    port: int
    dataplane: Dataplane
    outcome: Outcome
    evidence: tuple[Evidence, ...]
    pods: tuple[Place, ...] = ()
    mode: str = ""
    ours: bool = False

    @property
    def server(self) -> Outcome:
        """What the port itself lets in; NOT PROVEN without any evidence."""
        return worst(one.outcome for one in self.evidence if one.source is not Source.CLIENT) or Outcome.NOT_PROVEN

    @property
    def clients(self) -> Outcome | None:
        """What the clients of the mesh would send to it; None where that was not asked."""
        return worst(one.outcome for one in self.evidence if one.source is Source.CLIENT)

    def under(self, fail_on: FailOn) -> Outcome:
        """The outcome when only some faults count."""
        match fail_on:
            case FailOn.SERVER:
                return self.server
            case FailOn.CLIENTS:
                # No Service leads to it. To what has no proxy, or was not seen, nobody can use mTLS.
                return self.clients or (Outcome.NOT_PROVEN if self.dataplane is Dataplane.NONE else Outcome.PASS)
            case _:
                return self.outcome

    def without(self, acceptance: Acceptance) -> "PortVerdict | None":
        """What is left to judge when plaintext by one policy is accepted; None when that is all that is wrong with it."""
        if not any(_is_accepted(one, acceptance) for one in self.evidence):
            return self
        left = [one for one in self.evidence if not _is_accepted(one, acceptance)]
        outcome = worst(one.outcome for one in left)
        return None if outcome in {None, Outcome.PASS} else replace(self, evidence=tuple(left), outcome=outcome or self.outcome)

    @property
    def tried(self) -> bool:
        """Whether the wire gave an answer."""
        return any(one.source is Source.WIRE and one.outcome is not Outcome.NOT_PROVEN for one in self.evidence)


def _is_accepted(evidence: Evidence, acceptance: Acceptance) -> bool:
    return acceptance.policy in {evidence.by, evidence.object if evidence.code == "MTL001" else ""}


@dataclass(frozen=True, slots=True)
class Outside:
    """A namespace that never joined, and what in the mesh its pods could reach in plaintext."""

    namespace: str
    pods: int
    reachable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What was looked at, by whom, and how much of it.

    ``server`` is the API server's URL, ``authority`` the SHA-256 fingerprint of its CA, ``who`` the run, ``planes`` are revisions
    with their versions, ``namespaces`` None for all, ``sample`` the most ports that were tried, None when nobody said. ``unprobed``
    says why nothing could be tried on the wire.
    """

    server: str = ""
    authority: str = ""
    who: str = ""
    planes: tuple[str, ...] = ()
    namespaces: tuple[str, ...] | None = None
    sample: int | None = None
    read_only: bool = False
    unprobed: str = ""


@dataclass(frozen=True, slots=True)
class Clients:
    """The proxies of clients: ``asked`` of them spoke for ``alike`` more, and ``silent`` could not be asked."""

    asked: int
    alike: int
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one verification.

    ``live`` tells whether and how the wire was tried, ``history`` what was counted before, ``callers`` who sends plaintext now.
    ``external`` leads out of the mesh and is not judged. ``seen`` tells what was looked at, and ``fail_on`` whose faults count.
    ``acceptance`` is the environment's own word for plaintext, while it holds: the outcome is the same with it.
    """

    at: datetime
    cluster: str
    ports: tuple[PortVerdict, ...]
    findings: tuple[Finding, ...] = ()
    outside: tuple[Outside, ...] = ()
    external: tuple[ExternalService, ...] = ()
    certificates: tuple[tuple[str, CertificateFacts], ...] = field(default=())
    live: str = ""
    history: str = ""
    callers: Callers | None = None
    gaps: tuple[str, ...] = ()
    clients: Clients | None = None
    seen: Observation = field(default_factory=Observation)
    fail_on: FailOn = FailOn.ANY
    acceptance: Acceptance | None = None

    @property
    def accepted(self) -> tuple[PortVerdict, ...]:
        """The ports with which nothing is wrong but what is accepted."""
        acceptance = self.acceptance
        return tuple(port for port in self.ports if acceptance and port.without(acceptance) is None)

    @property
    def counted(self) -> Outcome:
        """The outcome by which a run ends: that of everything which is not accepted."""
        left = [port.without(self.acceptance) if self.acceptance else port for port in self.ports]
        if left == list(self.ports):
            return self.outcome
        found = worst(port.under(self.fail_on) for port in left if port) or Outcome.PASS
        return Outcome.NOT_PROVEN if found is Outcome.PASS and self.seen.unprobed else found

    @property
    def outcome(self) -> Outcome:
        """FAIL when anything failed that counts, PASS when all passed, else NOT PROVEN.

        Nothing to judge proves nothing, nor does a mesh of which no port was tried on the wire; what clients send, their proxies tell.
        """
        found = {port.under(self.fail_on) for port in self.ports}
        if Outcome.FAIL in found:
            return Outcome.FAIL
        seen = self.fail_on is FailOn.CLIENTS or any(port.tried for port in self.ports)
        return Outcome.PASS if found == {Outcome.PASS} and seen else Outcome.NOT_PROVEN
