"""The verdict of verify: PASS, FAIL or NOT PROVEN for each port of each workload, with the evidence."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen and what it means alone; ``object`` is where, ``code`` the finding that explains it (docs/checks.md)."""

    source: Source
    outcome: Outcome
    text: str
    object: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class PortVerdict:
    """One port of one workload over all its pods; ``port`` 0 stands for every port that nobody declared.

    ``outcome`` is the worst of its evidence, and NOT PROVEN when a kind of evidence is missing.
    """

    namespace: str
    workload: str
    port: int
    dataplane: Dataplane
    outcome: Outcome
    evidence: tuple[Evidence, ...]
    pods: tuple[Place, ...] = ()
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Outside:
    """A namespace that never joined, and what in the mesh its pods could reach in plaintext."""

    namespace: str
    pods: int
    reachable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one verification.

    ``live`` tells whether and how the wire was tried, ``history`` what was counted before. ``external`` leads out of the mesh and
    is not judged.
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
    gaps: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """FAIL when anything failed, PASS when all passed, else NOT PROVEN; nothing to judge proves nothing."""
        found = {port.outcome for port in self.ports}
        if Outcome.FAIL in found:
            return Outcome.FAIL
        return Outcome.PASS if found == {Outcome.PASS} else Outcome.NOT_PROVEN
