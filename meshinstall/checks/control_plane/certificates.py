"""Checks of CA certificates, workload certificates and clocks."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from meshinstall.checks.control_plane.istiod import some
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.health import HealthFacts
from meshinstall.model.mesh import CertificateFacts

# A new authority needs weeks to reach every proxy of every cluster (linkerd check warns at the same 60 days).
_AUTHORITY = timedelta(days=60)
# Agents renew at half of a certificate's life (istio: security/pkg/nodeagent/cache, SECRET_GRACE_PERIOD_RATIO).
_SHARE = 0.25
# istiod dates certificates two minutes back (istio: security/pkg/pki/util, ClockSkewGracePeriod).
_GRACE = timedelta(minutes=2)
_NOTICEABLE = timedelta(seconds=30)


def authorities(facts: HealthFacts) -> Iterator[Finding]:
    """Roots and intermediates hold for 60 days at least."""
    for certificate in facts.mesh.authorities:
        left = certificate.not_after - facts.mesh.now
        kind = "root" if not certificate.root or certificate.root == certificate.fingerprint else "intermediate"
        hint = (
            "replace it before then, the root first, while proxies trust both: https://istio.io/latest/docs/tasks/security/cert-management/"
        )
        if left <= timedelta():
            title = f"the mesh's {kind} certificate expired on {_day(certificate.not_after)}"
            yield Finding("CHK009", Severity.ERROR, title, "no new connection between proxies succeeds", certificate.subject, hint=hint)
        elif left < _AUTHORITY:
            title = f"the mesh's {kind} certificate expires on {_day(certificate.not_after)}, in {left.days} days"
            yield Finding("CHK009", Severity.WARNING, title, object=certificate.subject, hint=hint)


def workloads(facts: HealthFacts) -> Iterator[Finding]:
    """Each proxy's own certificate is renewed in time."""
    ended, late = list[str](), list[str]()
    for place, proxy in facts.mesh.proxies.items():
        if proxy.certificates:
            leaf = proxy.certificates[0]
            if leaf.not_after <= facts.mesh.now:
                ended.append(str(place))
            elif leaf.not_after - facts.mesh.now < _life(leaf) * _SHARE:
                late.append(str(place))
    hint = "find why the agent gets no new certificate: kubectl logs POD -c istio-proxy | grep -i -e csr -e cert"
    if ended:
        yield Finding("CHK010", Severity.ERROR, f"workload certificates have expired: {len(ended)}", some(ended), hint=hint)
    if late:
        yield Finding("CHK010", Severity.WARNING, f"workload certificates were not renewed in time: {len(late)}", some(late), hint=hint)


def clocks(facts: HealthFacts) -> Iterator[Finding]:
    """The API server's clock and ours agree: dates above are judged by ours."""
    if facts.skew is None or abs(facts.skew) <= _NOTICEABLE:
        return
    seconds = abs(facts.skew).total_seconds()
    title = f"the API server's clock is {seconds:.0f} s {'ahead of' if facts.skew > timedelta() else 'behind'} this machine's"
    severity = Severity.ERROR if abs(facts.skew) > _GRACE else Severity.WARNING
    detail = (
        "istiod backdates certificates by two minutes; with a larger difference new certificates are not valid yet"
        if severity is Severity.ERROR
        else ""
    )
    yield Finding("CHK011", severity, title, detail, hint="find the wrong clock: chronyc tracking, or timedatectl, here and on the nodes")


def _life(certificate: CertificateFacts) -> timedelta:
    return certificate.not_after - certificate.not_before


def _day(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
