"""The case folders of verify/: each differs from verify/mesh.yaml by its case.yaml.

``python -m tests.cases.verdicts`` rewrites the rest.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from meshinstall.checks.mtls.judge import judge, targets
from meshinstall.model.finding import Finding
from meshinstall.model.labels import TLS_MODE
from meshinstall.model.mesh import CertificateFacts, Dataplane, MeshFacts, Pod
from meshinstall.model.verdict import Outcome, PortVerdict, Verdict
from meshinstall.model.wire import Answer, Probe, Probing, Seen, WireTarget
from tests.cases.plans import patched

FOLDER = Path(__file__).parent / "verify"
CLIENT = "spiffe://cluster.local/ns/meshinstall-probe-x/sa/default"
# As istiod makes them (pilot/pkg/networking/core/filterchain_options.go).
_MUTUAL = {"transport": "tls", "tls": True, "client_certificate": True, "roots": ["root"]}
_PLAIN = {"transport": "raw_buffer"}
INBOUND: Mapping[str, list[dict[str, Any]]] = {
    "strict": [_MUTUAL, {**_MUTUAL, "alpn": ["istio-http/1.1"]}],
    "permissive": [{**_MUTUAL, "alpn": ["istio", "istio-peer-exchange"]}, _PLAIN, {"transport": "tls"}],
}
_AS_IT_SHOULD = {Probe.PLAINTEXT: "refused", Probe.ANONYMOUS: "refused", Probe.FOREIGN: "refused", Probe.MESHED: "served"}
_CERTIFICATE, _POD, _FACTS = TypeAdapter(CertificateFacts), TypeAdapter(Pod), TypeAdapter(MeshFacts)
_ENVOYS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})
_CLIENT_OBJECTS = ("sidecars", "entries", "led", "tls_policies", "reroutes")
_BY_PLACE = ("control_planes", "pods", "services", "policies", "client_rules", "external")


@dataclass(frozen=True, slots=True)
class Case:
    """What is there, what the wire said, and which namespaces were asked for."""

    facts: MeshFacts
    probing: Probing
    asked: tuple[str, ...] | None = None

    def verdict(self) -> Verdict:
        """What is made of both."""
        return judge(self.facts, self.probing, "kind-dev", self.asked)


def names() -> list[str]:
    """Names of all cases."""
    return sorted(file.parent.name for file in FOLDER.glob("*/case.yaml"))


def load(name: str) -> Case:
    """A case by the name of its folder."""
    return make(yaml.safe_load((FOLDER / name / "case.yaml").read_text()) or {})


def make(differs: Mapping[str, Any]) -> Case:
    """The mesh of mesh.yaml with differences."""
    found = patched(_mesh(), differs)
    facts = _facts(found["facts"], found["certificates"])
    told = found["probing"]
    seen = {} if told["skipped"] or told["problem"] else dict(_answers(facts, told))
    return Case(facts, Probing(seen, told["skipped"], told["problem"]), found.get("asked"))


def rendered(verdict: Verdict) -> dict[str, str]:
    """The golden file of a verdict, by name."""
    return {"verdict.txt": "\n".join(_lines(verdict)) + "\n"}


@cache
def _mesh() -> Any:
    return yaml.safe_load((FOLDER / "mesh.yaml").read_text())


def _facts(told: Mapping[str, Any], certificates: Mapping[str, Any]) -> MeshFacts:
    named = {name: _CERTIFICATE.validate_python({"fingerprint": name, **one}) for name, one in certificates.items()}
    raw = {key: value for key, value in told.items() if key not in {"proxies", "authorities"}}
    for kind in _BY_PLACE:
        raw[kind] = [{"place": place.split("/"), **one} for place, one in told[kind].items()]
    for one in raw["pods"]:
        # The injector labels what it gives a proxy.
        one["labels"] = {**({TLS_MODE: "istio"} if one.get("dataplane") == "sidecar" else {}), **one.get("labels", {})}
    raw["namespaces"] = {name: {"name": name, **one} for name, one in told["namespaces"].items()}
    raw["authorities"] = [named[name] for name in told["authorities"]]
    pods = {"/".join(pod["place"]): _POD.validate_python(pod) for pod in raw["pods"]}
    raw["proxies"] = {pods[place].place: _proxy(pods[place], one, told["now"], named) for place, one in told["proxies"].items()}
    if told.get("clients") is not None:
        raw["clients"] = _clients(told["clients"], pods, raw["services"])
    return _FACTS.validate_python(raw)


def _clients(told: Mapping[str, Any], pods: Mapping[str, Pod], services: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Each running proxy was asked, or ``speaks_for`` others; of what it would send only what differs from a mesh in order is told."""
    asked: Mapping[str, Any] = told.get("asked", {})
    spoken = {place for one in asked.values() for place in one.get("speaks_for", ())}
    groups = []
    for place, pod in pods.items():
        if pod.dataplane in _ENVOYS and pod.running and place not in spoken:
            one = asked.get(place, {})
            clusters = [cluster for service in services for cluster in _clusters(service, one, pods.values())]
            outlook = {"clusters": clusters, "passes_on": one.get("passes_on", pod.dataplane is Dataplane.SIDECAR)}
            places = [each.split("/") for each in (place, *one.get("speaks_for", ()))]
            problem = one.get("problem", "")
            groups.append({"pods": places, "problem": problem} | ({} if problem else {"asked": places[0], "outlook": outlook}))
    objects = {kind: [{"place": one.split("/"), **more} for one, more in told.get(kind, {}).items()] for kind in _CLIENT_OBJECTS}
    return {"groups": groups, **objects}


def _clusters(service: Mapping[str, Any], one: Mapping[str, Any], pods: Iterable[Pod]) -> Iterator[dict[str, Any]]:
    """Those of a Service, as istiod makes them for a proxy that hides or ``sends`` some otherwise, to ``anywhere`` or to the pods."""
    place, selector = "/".join(service["place"]), service.get("selector", {})
    if place in one.get("hidden", ()) or not selector:
        return
    host = f"{service['place'][1]}.{service['place'][0]}.svc.cluster.local"
    mine = [pod for pod in pods if pod.place.namespace == service["place"][0] and selector.items() <= pod.labels.items() and pod.ip]
    for own, port in service["ports"].items():
        anywhere = one.get("anywhere", {}).get(place)
        usual = {pod.ip: "mesh mTLS" if pod.dataplane is Dataplane.SIDECAR else "plaintext" for pod in mine}
        endpoints = [] if anywhere else [(ip, port, one.get("sends", {}).get(place, tls)) for ip, tls in usual.items()]
        name = f"outbound|{own}||{host}"
        yield {"name": name, "host": host, "port": own, "subset": "", "anywhere": anywhere, "endpoints": endpoints}


def _proxy(pod: Pod, told: Mapping[str, Any], now: Any, named: Mapping[str, CertificateFacts]) -> dict[str, Any]:
    """A proxy that is right but for what is told; one with a problem says nothing else."""
    if told.get("problem"):
        return dict(told)
    leaf = {
        "fingerprint": f"leaf of {pod.place}",
        "subject": "",
        "not_before": now - timedelta(hours=12),
        "not_after": now + timedelta(hours=12),
        "uris": [f"spiffe://cluster.local/ns/{pod.place.namespace}/sa/{pod.service_account}"],
        "root": "root",
        **told.get("certificate", {}),
    }
    inbound = told.get("inbound", "strict")
    return {
        "version": "1.31.0",
        "istiod": "istiod-1",
        **{key: value for key, value in told.items() if key != "certificate"},
        "sync": told.get("sync", "synced"),
        "inbound": [{"port": None, **chain} for chain in (INBOUND[inbound] if isinstance(inbound, str) else inbound)],
        "certificates": [leaf, *(named[name] for name in told.get("chain", ()))],
        "roots": [named[name] for name in told.get("roots", ["root"])],
    }


def _answers(facts: MeshFacts, told: Mapping[str, Any]) -> Iterator[tuple[WireTarget, tuple[Seen, ...]]]:
    accounts = {pod.place: pod.service_account for pod in facts.pods}
    for target in targets(facts, told["sample"]):
        identity = f"spiffe://cluster.local/ns/{target.pod.namespace}/sa/{accounts[target.pod]}"
        differs = told["answers"].get(f"{target.pod}:{target.port}", {})
        meshed = {"identity": differs.get("identity", identity), "client_identity": differs.get("client_identity", CLIENT)}
        yield (
            target,
            tuple(
                Seen(probe, Answer(differs.get(str(probe), usual)), differs.get("words", ""), **(meshed if probe is Probe.MESHED else {}))
                for probe, usual in _AS_IT_SHOULD.items()
            ),
        )


def _lines(verdict: Verdict) -> Iterator[str]:
    yield f"{verdict.outcome} live: {verdict.live}"
    if verdict.clients:
        told = verdict.clients
        yield f"clients: {told.asked} asked, {told.alike} alike, silent: {', '.join(told.silent) or 'none'}"
    for port in verdict.ports:
        yield from _port_lines(port)
        if verdict.clients:
            yield f"    server {port.server}, clients {port.clients or 'unknown'}"
    for finding in verdict.findings:
        yield from _finding_lines(finding)
    for one in verdict.outside:
        yield f"outside {one.namespace}: {one.pods} pods reach {', '.join(one.reachable) or 'nothing'}"
    for service in verdict.external:
        ports = (f"{port.number}/{port.protocol}" for port in service.ports)
        yield f"external {service.place}: {', '.join(service.hosts)} {', '.join(ports)}".rstrip()
    for holder, certificate in verdict.certificates:
        yield f"certificate {holder} until {certificate.not_after:%Y-%m-%d %H:%M}"
    yield from (f"gap {gap}" for gap in verdict.gaps)
    if verdict.history:
        yield f"before: {verdict.history}"


def _port_lines(port: PortVerdict) -> Iterator[str]:
    yield f"{port.outcome} {port.namespace} {port.workload} {port.port} {port.dataplane} {port.mode or '-'} pods {len(port.pods)}"
    passed = [one for one in port.evidence if one.outcome is Outcome.PASS and not one.code]
    if passed:
        yield f"    PASS {', '.join(dict.fromkeys(one.source for one in passed))}"
    for one in port.evidence:
        if one not in passed:
            yield f"    {one.outcome} {one.source}{f' {one.code}' if one.code else ''}: {one.text} [{one.object}]"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity} {finding.code} {finding.title} [{finding.object}]"
    yield from (f"    {text}" for text in (finding.detail, *finding.hint.splitlines()) if text)


def _rewrite() -> None:
    for name in names():
        for file, text in rendered(load(name).verdict()).items():
            (FOLDER / name / file).write_text(text)


if __name__ == "__main__":
    _rewrite()
