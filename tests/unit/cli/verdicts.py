"""Verdicts as the printers get them."""

from datetime import UTC, datetime, timedelta

from meshinstall.model.finding import Finding, Severity
from meshinstall.model.mesh import CertificateFacts, Dataplane, ExternalService, Place, Port
from meshinstall.model.verdict import Evidence, Outcome, Outside, PortVerdict, Source, Verdict

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTILE = 'a\x1b[2Jb<script>alert(1)</script>&"\x00'

STRICT = (
    Evidence(Source.POLICY, Outcome.PASS, "STRICT", "PeerAuthentication istio-system/default"),
    Evidence(Source.WIRE, Outcome.PASS, "plaintext was refused", "shop/api-0"),
)
OPEN = (
    Evidence(Source.POLICY, Outcome.FAIL, "PERMISSIVE lets plaintext in", "PeerAuthentication shop/default", "MTL001"),
    Evidence(Source.CLIENT, Outcome.FAIL, "clients send plaintext", "shop/web-0", "MTL010"),
)
UNSEEN = (Evidence(Source.WIRE, Outcome.NOT_PROVEN, "no answer in 3 s", "shop/slow-0", "MTL011"),)


def certificate(days: int, *, authority: bool = False) -> CertificateFacts:
    """One that began yesterday."""
    return CertificateFacts("ab" * 32, "O=cluster.local", NOON - timedelta(days=1), NOON + timedelta(days=days), is_authority=authority)


VERDICT = Verdict(
    at=NOON,
    cluster="kind-dev",
    ports=(
        PortVerdict("shop", "Deployment api", 8080, Dataplane.SIDECAR, Outcome.PASS, STRICT, (Place("shop", "api-0"),), "STRICT"),
        PortVerdict("shop", "Deployment api", 9090, Dataplane.SIDECAR, Outcome.PASS, STRICT, (Place("shop", "api-0"),), "STRICT"),
        PortVerdict("shop", "Deployment slow", 8080, Dataplane.SIDECAR, Outcome.NOT_PROVEN, UNSEEN, (Place("shop", "slow-0"),), "STRICT"),
        PortVerdict("shop", "Deployment web", 8080, Dataplane.SIDECAR, Outcome.FAIL, OPEN, (Place("shop", "web-0"),), "PERMISSIVE"),
    ),
    findings=(
        Finding(
            "MTL001",
            Severity.ERROR,
            "PeerAuthentication shop/default lets plaintext in",
            "Deployment web port 8080",
            "PeerAuthentication shop/default",
            hint="kubectl apply -f - <<'EOF'\nkind: PeerAuthentication\nEOF",
        ),
        Finding("MTL011", Severity.WARNING, "a probe had no answer", object="shop/slow-0"),
    ),
    outside=(Outside("legacy", 3, ("shop/Deployment web:8080",)), Outside("empty", 0)),
    external=(ExternalService(Place("shop", "pay"), ("pay.example",), (Port(443, "", "TLS"), Port(80, "", "HTTP"))),),
    certificates=(("root", certificate(3650, authority=True)), ("shop/api-0", certificate(1))),
    live="4 ports probed from meshinstall-probe-x",
    gaps=("secrets in istio-system: forbidden",),
)
