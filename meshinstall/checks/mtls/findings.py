"""Groups evidence into findings: one for each cause, with its workload ports and how to fix it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from meshinstall.checks.mtls.callers import caller_findings
from meshinstall.checks.mtls.certificates import certificate_findings
from meshinstall.checks.mtls.coverage import unencrypted
from meshinstall.checks.mtls.fixes import Ill, fix
from meshinstall.checks.mtls.idle_policies import idle_objects, idle_policies
from meshinstall.checks.mtls.metrics import metrics_findings
from meshinstall.checks.mtls.plaintext_history import history_findings
from meshinstall.checks.mtls.view import View
from meshinstall.checks.words import some
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict

# What lets plaintext in.
OPEN = frozenset({"MTL001", "MTL002", "MTL003", "MTL009", "MTL020", "MTL021", "MTL022", "MTL023", "MTL030", "MTL050"})
# Each is one finding for its object, else one for all, else one for each namespace.
_BY_OBJECT = frozenset(
    {"MTL001", "MTL002", "MTL003", "MTL010", "MTL011", "MTL012", "MTL014", "MTL015", "MTL016", "MTL018", "MTL027", "MTL036"}
)
_ONCE = frozenset({"MTL006", "MTL007", "MTL013", "MTL017", "MTL026", "MTL047", "MTL049", "MTL055"})
_SEVERITIES = {Outcome.FAIL: Severity.ERROR, Outcome.NOT_PROVEN: Severity.WARNING, Outcome.PASS: Severity.WARNING}
_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
# Different texts of one finding that are shown.
_MOST_TEXTS = 3

_TITLES: Mapping[str, str] = {
    "MTL001": "{object} accepts plaintext: PERMISSIVE",
    "MTL002": "{object} turns mutual TLS off: DISABLE",
    "MTL003": "{object} accepts plaintext on single ports",
    "MTL006": "the policies could not be read",
    "MTL007": "two control planes claim one revision",
    "MTL009": "namespace {namespace} has proxies that accept plaintext, by policies that could not be read",
    "MTL010": "{object} makes clients send plaintext",
    "MTL011": "{object} makes clients use certificates that are not the mesh's",
    "MTL012": "automatic mTLS is off, and clients send plaintext",
    "MTL013": "the settings of clients could not be read",
    "MTL014": "{object} sends past its own proxy, to {count}",
    "MTL015": "{object} makes clients send plaintext",
    "MTL016": "{object} hides Services from clients, which then send plaintext, to {count}",
    "MTL017": "some clients could not be asked, and may call {count}",
    "MTL018": "{object} is a part of the mesh that cannot be asked",
    "MTL019": "clients of namespace {namespace} leave the mesh's TLS, and no object was found that explains it",
    "MTL020": "namespace {namespace} of the mesh has pods without a proxy",
    "MTL021": "namespace {namespace} has ports whose traffic bypasses the proxy",
    "MTL022": "namespace {namespace} has pods whose traffic bypasses their proxy",
    "MTL023": "namespace {namespace} of the mesh has pods that use the node's network",
    "MTL024": "namespace {namespace} has workloads without a running pod",
    "MTL026": "some objects in the cluster could not be read",
    "MTL027": "{object} has nothing to judge",
    "MTL028": "namespace {namespace} has pods where traffic of one IP family may bypass the proxy",
    "MTL029": "namespace {namespace} has pods where traffic of some interfaces bypasses the proxy",
    "MTL030": "namespace {namespace} has proxies that accept plaintext against the policy",
    "MTL031": "namespace {namespace} has proxies that accept clients without a certificate",
    "MTL032": "namespace {namespace} has proxies whose configuration could not be read",
    "MTL033": "namespace {namespace} has proxies that are stricter than the policy",
    "MTL034": "namespace {namespace} has gateways that may not have the last configuration",
    "MTL035": "cannot tell which clients some proxies in namespace {namespace} accept",
    "MTL036": "{object} chooses where clients send, which is not read, for {count}",
    "MTL037": "namespace {namespace} has pods that do not show what is redirected to their proxies",
    "MTL040": "namespace {namespace} has certificates that are not valid now",
    "MTL042": "namespace {namespace} has certificates that name an identity that is not the pod's",
    "MTL043": "namespace {namespace} has certificates that do not lead to a root of the mesh",
    "MTL044": "namespace {namespace} has proxies that trust a CA that is not the mesh's",
    "MTL047": "some namespaces lack a root that certificates lead to",
    "MTL048": "namespace {namespace} has certificates that could not be judged",
    "MTL049": "a CA certificate of the mesh is not valid now",
    "MTL050": "namespace {namespace} served plaintext",
    "MTL051": "namespace {namespace} served TLS without a client certificate",
    "MTL052": "namespace {namespace} served a client with a foreign certificate",
    "MTL053": "namespace {namespace} answered with an unexpected identity",
    "MTL054": "live probes were inconclusive on some ports in namespace {namespace}",
    "MTL055": "some ports were not probed",
    "MTL056": "namespace {namespace} has workloads that declare no port to probe",
}


class _Cause(NamedTuple):
    """What makes one finding of many pieces of evidence."""

    code: str
    object: str
    namespace: str


def findings(view: View, ports: Sequence[PortVerdict]) -> tuple[Finding, ...]:
    """Every finding, errors first."""
    found = [*_caused(view, ports), *_idle(view), *_partly_running(view), *certificate_findings(view.facts, view.trust)]
    pods = [pod for pod in view.facts.pods if pod.place in view.merged]
    found += [*unencrypted(pods), *metrics_findings(pods)]
    found += [*history_findings(view.facts.history), *caller_findings(view.facts.callers)]
    return tuple(sorted(found, key=lambda finding: (_RANK[finding.severity], finding.code, finding.object)))


def _caused(view: View, ports: Iterable[PortVerdict]) -> Iterator[Finding]:
    causes: dict[_Cause, list[tuple[Evidence, PortVerdict]]] = {}
    for port in ports:
        for evidence in port.evidence:
            if evidence.code:
                causes.setdefault(_cause(evidence, port), []).append((evidence, port))
    for cause, pairs in causes.items():
        yield _finding(cause, pairs, view)


def _cause(evidence: Evidence, port: PortVerdict) -> _Cause:
    if evidence.code in _BY_OBJECT:
        return _Cause(evidence.code, evidence.object, "")
    return _Cause(evidence.code, "", "" if evidence.code in _ONCE else port.namespace)


def _finding(cause: _Cause, pairs: Sequence[tuple[Evidence, PortVerdict]], view: View) -> Finding:
    ports = list({(port.namespace, port.workload, port.port): port for _, port in pairs}.values())
    texts: dict[str, list[PortVerdict]] = {}
    for evidence, port in pairs:
        texts.setdefault(evidence.text, []).append(port)
    detail = "; ".join(f"{text}: {_where(some_ports, named=not cause.namespace)}" for text, some_ports in list(texts.items())[:_MOST_TEXTS])
    more = f"; and {len(texts) - _MOST_TEXTS} other reasons" if len(texts) > _MOST_TEXTS else ""
    where = cause.object or _object(ports)
    count = f"{len(ports)} {'port' if len(ports) == 1 else 'ports'}"
    title = _TITLES[cause.code].format(object=cause.object, namespace=cause.namespace, count=count)
    severity = min((_SEVERITIES[evidence.outcome] for evidence, _ in pairs), key=_RANK.__getitem__)
    return Finding(cause.code, severity, title, detail + more, where, hint=fix(cause.code, Ill(where, ports, view)))


def _where(ports: Iterable[PortVerdict], *, named: bool) -> str:
    """``Deployment web (8080, other)``, with its namespace where that is not said before."""
    found: dict[str, dict[str, None]] = {}
    for port in ports:
        name = f"{port.namespace}/{port.workload}" if named and port.namespace else port.workload
        found.setdefault(name, {})[str(port.port or "other")] = None
    return some(f"{name} ({', '.join(sorted(numbers, key=_by_number))})" for name, numbers in found.items())


def _by_number(port: str) -> tuple[bool, int]:
    return (port == "other", 0 if port == "other" else int(port))


def _object(ports: Sequence[PortVerdict]) -> str:
    """``Deployment shop/web`` when it is one workload, else its namespace when it is one."""
    if len({(port.namespace, port.workload) for port in ports}) == 1 and ports[0].namespace:
        kind, _, name = ports[0].workload.partition(" ")
        return f"{kind} {ports[0].namespace}/{name}"
    namespaces = {port.namespace for port in ports}
    return f"Namespace {namespaces.pop()}" if len(namespaces) == 1 and ports[0].namespace else ""


def _idle(view: View) -> Iterator[Finding]:
    asked = [] if view.facts.judged is None else [*view.facts.judged, *(policies.root_namespace for policies in view.policies.values())]
    for one in idle_policies(view.facts):
        place = one.policy.place
        if asked and place.namespace not in asked:
            continue
        code, severity = ("MTL004" if one.older else "MTL005"), max(one.severity, Severity.WARNING, key=_RANK.__getitem__)
        beside = f" has no effect beside PeerAuthentication {one.older.place}" if one.older else ", or a part of it, has no effect"
        yield Finding(code, severity, f"PeerAuthentication {place}{beside}", one.why, f"PeerAuthentication {place}", hint=one.fix)
    yield from idle_objects(view.facts, asked)


def _partly_running(view: View) -> Iterator[Finding]:
    """Pods that cannot be asked beside others of the same workload that were."""
    idle = [str(pod.place) for one in view.workloads if one.running for pod in one.pods if not pod.running]
    if idle:
        title = f"{len(idle)} {'pod does not run and was' if len(idle) == 1 else 'pods do not run and were'} not judged"
        yield Finding("MTL024", Severity.INFO, title, some(idle))
