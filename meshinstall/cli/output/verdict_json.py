"""A verdict as programs read it: the document of docs/schemas/verify.json."""

from typing import Any

from meshinstall.model.acceptance import Acceptance
from meshinstall.model.callers import Callers
from meshinstall.model.finding import Finding
from meshinstall.model.mesh import CertificateFacts, ExternalService
from meshinstall.model.verdict import Clients, Observation, PortVerdict, Verdict

SCHEMA = "meshinstall.dev/verify/v1"


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """All of a verdict, as JSON."""
    return {
        "schema": SCHEMA,
        "cluster": verdict.cluster,
        "at": verdict.at.isoformat(),
        "verdict": verdict.outcome,
        "failOn": verdict.fail_on,
        "accepted": _accepted(verdict, verdict.acceptance) if verdict.acceptance else None,
        "observation": _observation(verdict.seen),
        "clients": _clients(verdict.clients) if verdict.clients else None,
        "liveProbes": verdict.live,
        "history": verdict.history or None,
        "callers": _callers(verdict.callers) if verdict.callers else None,
        "ports": [_port(port) for port in verdict.ports],
        "findings": [finding_json(finding) for finding in verdict.findings],
        "outside": [{"namespace": one.namespace, "pods": one.pods, "plaintextTo": list(one.reachable)} for one in verdict.outside],
        "external": [_external(one) for one in verdict.external],
        "certificates": [_certificate(name, certificate) for name, certificate in verdict.certificates],
        "notSeen": list(verdict.gaps),
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding with the page that explains it."""
    return {
        "code": finding.code,
        "severity": finding.severity,
        "title": finding.title,
        "detail": finding.detail,
        "object": finding.object,
        "origin": finding.origin,
        "hint": finding.hint,
    }


def _observation(seen: Observation) -> dict[str, Any]:
    return {
        "server": seen.server,
        "authority": seen.authority or None,
        "who": seen.who,
        "controlPlanes": list(seen.planes),
        "namespaces": None if seen.namespaces is None else list(seen.namespaces),
        "sample": seen.sample,
        "readOnly": seen.read_only,
    }


def _accepted(verdict: Verdict, acceptance: Acceptance) -> dict[str, Any]:
    return {
        "until": acceptance.until.isoformat(),
        "reason": acceptance.reason,
        "origin": acceptance.origin,
        "policy": acceptance.policy,
        "ports": len(verdict.accepted),
        "verdictOfTheRest": verdict.counted,
    }


def _callers(callers: Callers) -> dict[str, Any]:
    found = [{"workload": one.workload, "source": one.source, "count": one.times} for one in callers.found]
    return {"seconds": callers.seconds, "plaintext": found, "notCounted": list(callers.uncounted)}


def _clients(clients: Clients) -> dict[str, Any]:
    return {"asked": clients.asked, "alike": clients.alike, "notAnswered": list(clients.silent)}


def _port(port: PortVerdict) -> dict[str, Any]:
    return {
        "namespace": port.namespace,
        "workload": port.workload,
        "port": port.port or None,
        "dataplane": port.dataplane,
        "verdict": port.outcome,
        "server": port.server,
        "clients": port.clients,
        "tried": port.tried,
        "ours": port.ours,
        "mode": port.mode or None,
        "pods": [str(pod) for pod in port.pods],
        "evidence": [
            {
                "source": evidence.source,
                "verdict": evidence.outcome,
                "text": evidence.text,
                "object": evidence.object,
                "code": evidence.code or None,
            }
            for evidence in port.evidence
        ],
    }


def _external(service: ExternalService) -> dict[str, Any]:
    ports = [{"number": port.number, "protocol": port.protocol} for port in service.ports]
    return {"object": f"ServiceEntry {service.place}", "hosts": list(service.hosts), "ports": ports}


def _certificate(name: str, certificate: CertificateFacts) -> dict[str, Any]:
    return {
        "holder": name,
        "subject": certificate.subject,
        "uris": list(certificate.uris),
        "notBefore": certificate.not_before.isoformat(),
        "notAfter": certificate.not_after.isoformat(),
        "authority": certificate.is_authority,
        "fingerprint": certificate.fingerprint,
    }
