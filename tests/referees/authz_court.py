"""Holds the evaluators of policies and of proxies against istiod's own filters in a real Envoy."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, Phase, given, seed, settings

from meshinstall.checks.authz.decide import Guard, decide, guard, world
from meshinstall.checks.authz.enforced import Way
from meshinstall.checks.policies.reading import Policies
from meshinstall.engine.mesh.rbac.filters import read_way
from meshinstall.model.authz import Http, Normalization, Outcome, Request, Token, Workload
from meshinstall.model.policy_object import PolicyObject
from testbed.api import Json
from testbed.referee.enforcer import ECHO, TYPE, Call, Enforcer, Filters, Keys, ask_builder
from tests.referees.authz_cases import IDENTITIES, MANAGERS, TRUST_DOMAINS, Case, cases

HOME = "shop"
Key = ec.EllipticCurvePrivateKey
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ours:
    """What we know of a workload: its policies, and what Envoy says that it does with requests of HTTP and with connections of TCP."""

    policies: Guard
    ways: Mapping[str, Way]


@dataclass
class Judged:
    """What a court found: requests by what is decided of them, and those on which Envoy disagrees.

    ``outcomes`` is by the policies, ``by_proxy`` by what Envoy says that it has.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    by_proxy: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    disagreements: list[str] = field(default_factory=list)

    @property
    def decided(self) -> int:
        """Requests that the policies decided, as Envoy did."""
        return sum(count for name, count in self.outcomes.items() if name != Outcome.UNDECIDED)

    @property
    def decided_by_proxy(self) -> int:
        """Requests that were decided by what Envoy has, as Envoy did."""
        return sum(count for name, count in self.by_proxy.items() if name != Outcome.UNDECIDED)


class Court:
    """The programs and keys of a run."""

    def __init__(self, builder: Path, envoy: Path, folder: Path) -> None:
        self._builder, self._envoy, self._folder = builder, envoy, folder
        self._keys = _certificates(folder)
        self._key, self._foreign = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        self._jwks = json.dumps({"keys": [public | {"kid": "one", "alg": "ES256", "use": "sig"}]})

    def judge(self, number: int, cases_wanted: int, requests: int) -> Judged:
        """Make cases from a seed and compare both on each request; the ways to normalise a path take turns."""
        made = _draw(number, cases_wanted, self._jwks, requests)
        answers = ask_builder(self._builder, [_question(case) for case in made])
        ways = cycle(Normalization)
        accepted = [(case, answer, next(ways)) for case, answer in zip(made, answers, strict=True) if isinstance(answer, Filters)]
        found = Judged(refused=len(made) - len(accepted))
        folder = self._folder / f"round-{number}"
        folder.mkdir()
        filters = [replace(answer, manager=MANAGERS[how]) for _, answer, how in accepted]
        with Enforcer(self._envoy, folder, filters, self._keys) as envoy:
            listeners = envoy.listeners()
            for index, (case, _, how) in enumerate(accepted):
                ours = {kind: _way(listeners[f"{kind}-{index}"]) for kind in ("http", "tcp")}
                by = guard(world(replace(_policies(case), normalization=how)), Workload(HOME, case.labels))
                self._compare(envoy, index, case, Ours(by, ours), found)
        return found

    def _compare(self, envoy: Enforcer, index: int, case: Case, ours: Ours, found: Judged) -> None:
        for request, by_tls in case.requests:
            verdicts = (decide(ours.policies, request), ours.ways["http" if request.http else "tcp"].decide(request))
            for one, counted in zip(verdicts, (found.outcomes, found.by_proxy), strict=True):
                counted[one.outcome] += 1
            decided = [one for one in verdicts if one.outcome is not Outcome.UNDECIDED]
            real = envoy.ask(index, self._call(request, by_tls=by_tls)) if decided else ""
            if any(one.outcome != real for one in decided):
                how = ours.policies.world.policies.normalization
                text = json.dumps({"objects": case.objects, "labels": case.labels}, indent=1)
                found.disagreements.append(f"Envoy: {real}, policies and proxy ({how}): {verdicts}\n{request}\n{text}")

    def _call(self, request: Request, *, by_tls: bool) -> Call:
        text = self._text(request.http) if request.http else ""
        identity = request.principal if by_tls else None
        addresses = (request.source_ip or "", request.remote_ip or "", request.destination_ip or "")
        return Call(*addresses, request.port, identity, request.server_name or "", text)

    def _text(self, http: Http) -> str:
        path, headers = http.path, dict(http.headers)
        if token := http.token:
            signed = self._sign(token)
            if token.param:
                path += f"{'&' if '?' in path else '?'}{token.param}={signed}"
            elif token.cookie:
                headers["cookie"] = f"{token.cookie}={signed}"
            else:
                headers[token.header] = token.prefix + signed
        lines = [f"{http.method} {path} HTTP/1.1", f"host: {http.host}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join((*lines, "connection: close", "", ""))

    def _sign(self, token: Token) -> str:
        key = self._key if token.valid else self._foreign
        return jwt.encode(dict(token.claims), key, algorithm="ES256", headers={"kid": "one"})


def _way(listener: Json) -> Way:
    """What one of the two chains of a listener does, which are alike; where a connection of TCP ends istiod would have a proxy."""
    filters = listener["filter_chains"][0]["filters"]
    proxy = {"typed_config": {"@type": f"{TYPE}filters.network.tcp_proxy.v3.TcpProxy", "cluster": "inbound|80||"}}
    return read_way([proxy if one["name"] == ECHO else one for one in filters])


def _draw(number: int, wanted: int, keys: str, requests: int) -> list[Case]:
    found: list[Case] = []
    unhealthy = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

    @seed(number)
    @settings(max_examples=wanted, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=unhealthy)
    @given(case=cases(keys, requests))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def _question(case: Case) -> Json:
    domain, *aliases = TRUST_DOMAINS
    fields = {"trustDomain": domain, "trustDomainAliases": aliases, "namespace": HOME, "labels": case.labels}
    return {**fields, "objects": list(case.objects)}


def _policies(case: Case) -> Policies:
    return Policies(tuple(PolicyObject("case.yaml", one, {}) for one in case.objects), trust_domains=TRUST_DOMAINS)


def first(found: Judged) -> str:
    """The first few disagreements, in full."""
    return "\n\n".join(found.disagreements[:3])


def _certificates(folder: Path) -> Keys:
    """An authority, a server, and a client for each identity."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    authority = _certificate(issuer, issuer, key, key, x509.BasicConstraints(ca=True, path_length=None))
    file = folder / "authority.pem"
    file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    server = _leaf(folder / "server.pem", issuer, key, "spiffe://mesh.example/ns/shop/sa/server")
    clients = {one: _leaf(folder / f"client-{index}.pem", issuer, key, f"spiffe://{one}") for index, one in enumerate(IDENTITIES)}
    return Keys(file, server, clients)


def _leaf(file: Path, issuer: x509.Name, authority: Key, identity: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
    found = _certificate(x509.Name([]), issuer, key, authority, names)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(found.public_bytes(serialization.Encoding.PEM) + secret)
    return file


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    built = built.serial_number(x509.random_serial_number()).not_valid_before(now - _DAY).not_valid_after(now + _DAY)
    return built.add_extension(extension, critical=True).sign(signer, hashes.SHA256())
