"""A verdict as one self-contained page, for people and for auditors: no script, no request to anywhere."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from meshinstall.checks.mtls.callers import callers_text
from meshinstall.cli.output.certificate_chart import chart
from meshinstall.cli.output.markup import Html, join, tag
from meshinstall.cli.output.page import banner, css_class, document, pill, section, terms_table
from meshinstall.cli.output.verdict_text import by_workload, external_ports, headline, worst
from meshinstall.cli.output.verdict_words import basis, clients_text, terms
from meshinstall.model.codes import PAGE, address
from meshinstall.model.finding import Finding
from meshinstall.model.mesh import ExternalService
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict, Verdict

_HOW = {
    "policy": "the effective PeerAuthentication by Istio's own merge rules, and the object that it comes from",
    "client": "what the proxies of clients hold, and which pods send past their own proxies",
    "proxy": "what the pod's own Envoy says that its inbound listener accepts, not what a policy asks for",
    "certificate": "the chain, the SPIFFE name and the dates of the certificate that the proxy holds",
    "coverage": "whether a proxy is in the path at all",
    "wire": "connections that were made: plaintext, TLS without a certificate, TLS with a foreign one, and a client of the mesh",
}


def verdict_html(verdict: Verdict) -> str:
    """The page, as UTF-8 text."""
    main = tag(
        "main", _matrix(verdict.ports), _findings(verdict.findings), _workloads(verdict.ports), _certificates(verdict), _limits(verdict)
    )
    footer = f"Made by meshinstall verify on {verdict.at:%Y-%m-%d at %H:%M:%S} UTC. Codes are explained in {PAGE}."
    return document(f"mTLS on {verdict.cluster}: {verdict.outcome}", _header(verdict), main, footer)


def _header(verdict: Verdict) -> Html:
    said = f"{basis(verdict)} {_sentence(verdict)}"
    title = tag("h1", f"Mutual TLS on {verdict.cluster}, {verdict.at:%Y-%m-%d %H:%M} UTC")
    return tag("header", title, banner(verdict.outcome, said), terms_table(terms(verdict)))


def _sentence(verdict: Verdict) -> str:
    match verdict.outcome:
        case Outcome.PASS:
            return "No port was seen to take what is not the mesh's own mTLS, and no client of the mesh would send anything else."
        case Outcome.FAIL:
            return "At least one takes traffic that is not mTLS, or its clients do not send it."
        case _:
            return "No port was seen to be open, but not all could be shown to be closed."


def _matrix(ports: Sequence[PortVerdict]) -> Html:
    if not ports:
        return section("Namespaces", tag("p", "There is no workload of a mesh to judge."))
    head = [tag("th", "Namespace", scope="col"), *(tag("th", outcome, scope="col", class_="count") for outcome in _order())]
    rows = []
    theirs = sorted((port for port in ports if not port.ours), key=lambda port: port.namespace)
    for namespace, group in groupby(theirs, key=lambda port: port.namespace):
        found = [port.outcome for port in group]
        counts = [(outcome, found.count(outcome)) for outcome in _order()]
        cells = [tag("td", str(count), class_=f"count {css_class(outcome) if count else 'zero'}") for outcome, count in counts]
        rows.append(tag("tr", tag("th", namespace, scope="row"), *cells))
    table = tag("table", tag("caption", "Workload ports by verdict"), tag("thead", tag("tr", *head)), tag("tbody", *rows))
    return section("Namespaces", tag("div", table, class_="scroll"))


def _findings(findings: Sequence[Finding]) -> Html:
    if not findings:
        return section("Findings", tag("p", "None."))
    return section("Findings", *(_finding(finding) for finding in findings))


def _finding(finding: Finding) -> Html:
    title = tag("h3", tag("span", finding.code, class_="code mono"), finding.title)
    texts = [tag("p", text) for text in (finding.detail, finding.origin and f"Written in {finding.origin}") if text]
    place = [tag("p", tag("code", finding.object))] if finding.object and finding.object not in finding.title else []
    fix = [tag("p", "To fix it:", class_="soft"), tag("pre", finding.hint)] if finding.hint else []
    page = tag("p", "See ", tag("code", address(finding.code)), class_="soft")
    return tag("article", title, *texts, *place, *fix, page, class_=finding.severity)


def _workloads(ports: Iterable[PortVerdict]) -> Html:
    return section("Workloads and evidence", *(_workload(group) for group in by_workload(ports)))


def _workload(ports: Sequence[PortVerdict]) -> Html:
    outcome = worst(ports)
    first = ports[0]
    summary = tag(
        "summary",
        pill(outcome),
        tag("span", f"{first.namespace} / {first.workload}", class_="name"),
        tag("span", f"{first.dataplane}, port {', '.join(_number(port) for port in ports)}", class_="soft"),
    )
    body = tag("div", *(_port(port) for port in ports), class_="scroll")
    return tag("details", summary, body, **({} if outcome is Outcome.PASS else {"open": "open"}))


def _port(port: PortVerdict) -> Html:
    tried = "tried on the wire" if port.tried else "not tried on the wire"
    sides = f"server {port.server}, clients {port.clients or 'not asked'}, {tried}"
    mode = f", mode {port.mode}" if port.mode else ""
    caption = f"Port {_number(port)}: {sides}{mode}, pods: {', '.join(pod.name for pod in port.pods) or 'none'}"
    head = tag("tr", *(tag("th", name, scope="col", **_wide(name)) for name in ("Verdict", "Source", "Seen", "Object")))
    rows = [_evidence(evidence) for evidence in port.evidence]
    return tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *rows))


def _evidence(evidence: Evidence) -> Html:
    text = f"{evidence.code} {evidence.text}".strip()
    cells = (tag("td", evidence.source), tag("td", text), tag("td", tag("code", evidence.object), class_="wide"))
    return tag("tr", tag("td", pill(evidence.outcome)), *cells)


def _certificates(verdict: Verdict) -> Html:
    if not verdict.certificates:
        return section("Certificates", tag("p", "None was seen."))
    return section("Certificates", chart(verdict.certificates, verdict.at))


def _limits(verdict: Verdict) -> Html:
    return section("How this was seen, and what was not", *_limit_parts(verdict))


def _limit_parts(verdict: Verdict) -> Iterator[Html]:
    yield tag("p", f"Live probes: {verdict.live or 'none'}.")
    if verdict.clients:
        yield tag("p", f"Clients: {clients_text(verdict.clients)}.")
    if verdict.history:
        yield tag("p", f"Before: {verdict.history}.")
    if verdict.callers:
        yield tag("p", f"Now: {callers_text(verdict.callers)}.")
    yield tag("ul", *(tag("li", tag("strong", name), f": {text}") for name, text in _HOW.items()))
    if outside := [one for one in verdict.outside if one.pods]:
        rows = [
            tag("tr", tag("th", one.namespace, scope="row"), tag("td", str(one.pods), class_="count"), tag("td", _reach(one.reachable)))
            for one in outside
        ]
        names = (
            tag("th", "Namespace", scope="col"),
            tag("th", "Pods", scope="col", class_="count"),
            tag("th", "Reaches in plaintext", scope="col"),
        )
        caption = tag("caption", "Namespaces outside the mesh: nothing between them is encrypted by it")
        yield tag("div", tag("table", caption, tag("thead", tag("tr", *names)), tag("tbody", *rows)), class_="scroll")
    if verdict.external:
        yield _external(verdict.external)
    if verdict.gaps:
        yield join(tag("p", "Not seen:"), tag("ul", *(tag("li", gap) for gap in verdict.gaps)))
    yield tag("p", headline(verdict), class_="soft")


def _external(services: Sequence[ExternalService]) -> Html:
    rows = [
        tag("tr", tag("th", str(one.place), scope="row"), *(tag("td", text) for text in (", ".join(one.hosts), external_ports(one))))
        for one in services
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("ServiceEntry", "Hosts", "Ports")))
    caption = tag("caption", "ServiceEntries that lead out of the mesh: what goes there is not judged")
    return tag("div", tag("table", caption, tag("thead", head), tag("tbody", *rows)), class_="scroll")


def _reach(ports: Sequence[str]) -> str:
    return ", ".join(ports) or "nothing of the mesh"


def _order() -> tuple[Outcome, ...]:
    return (Outcome.FAIL, Outcome.NOT_PROVEN, Outcome.PASS)


def _number(port: PortVerdict) -> str:
    return str(port.port) if port.port else "any other"


def _wide(name: str) -> dict[str, str]:
    """What a narrow screen leaves out."""
    return {"class_": "wide"} if name == "Object" else {}
