"""A shop whose policies ask for tokens, an issuer that signs them, and requests: by a sidecar, past the mesh and by the gateway."""

import http.client
import json
import shlex
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from testbed import pins
from tests.cluster.mesh import Shell, namespace

TILL, OUTSIDE = "till", "outside"
GATEWAY = "istio-ingress"
# Issuers by how istiod gets their keys, besides the one whose discovery document it reads; the keys of the last are nowhere.
INLINE, SERVED, GONE = "https://inline.example", "https://served.example", "https://gone.example"
AUDIENCE = "till"
_HOUR = 3600
# In the year 2001: Envoy takes 0 for no end at all.
_PAST = 1_000_000_000
# Seconds for one request.
_PATIENCE = 5
_DENIALS = ("RBAC: access denied", "Audiences in Jwt are not allowed")

Json = dict[str, Any]


class Issuer:
    """Signs with one key, which a pod publishes over HTTP as OpenID Connect wants it."""

    discovered = f"http://issuer.{OUTSIDE}"

    def __init__(self) -> None:
        self._key, self._foreign = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        self.keys = json.dumps({"keys": [key | {"kid": "one", "alg": "RS256", "use": "sig"}]})

    def sign(self, claims: Mapping[str, Any], *, valid: bool = True) -> str:
        """A token with these claims; one that is not ``valid`` is signed by somebody else."""
        return jwt.encode(dict(claims), self._key if valid else self._foreign, algorithm="RS256", headers={"kid": "one"})

    def objects(self) -> tuple[Json, ...]:
        """The pod that publishes the key, its files and its Service."""
        document = json.dumps({"issuer": self.discovered, "jwks_uri": f"{self.discovered}/keys"})
        metadata = {"name": "issuer", "namespace": OUTSIDE, "labels": {"app": "issuer"}}
        files = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"document": document, "keys": self.keys}}
        paths = [{"key": "document", "path": ".well-known/openid-configuration"}, {"key": "keys", "path": "keys"}]
        volumes = [{"name": "files", "configMap": {"name": "issuer", "items": paths}}]
        container = _container("exec httpd -f -p 8080 -h /www") | {"volumeMounts": [{"name": "files", "mountPath": "/www"}]}
        spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
        return files, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, _service(OUTSIDE, "issuer")


@dataclass(frozen=True, slots=True)
class Row:
    """A request: who calls ("cart", "outside" or "gateway"), its path and method, the claims of its token, and the workload it is for."""

    name: str
    source: str
    path: str = "/api/items"
    method: str = "GET"
    claims: Mapping[str, Any] | None = None
    valid: bool = True
    to: str = "web"

    def case(self, expect: str = "allow", variable: str = "") -> Json:
        """The same as a row of a table; ``variable`` holds its token."""
        plain = {"plaintext": True}
        source = {"serviceAccount": f"{TILL}/cart"} if self.source == "cart" else plain
        web = {"namespace": TILL, "labels": {"app": self.to}, "port": 8080}
        ingress = {"namespace": GATEWAY, "labels": {"istio": "ingress"}, "port": 80}
        case: Json = {"name": self.name, "from": source, "to": ingress if self.source == "gateway" else web, "expect": expect}
        case["request"] = {"method": self.method, "path": self.path, "host": "web.till"}
        if self.claims is not None:
            case["token"] = {"claims": dict(self.claims), "valid": self.valid and "exp" not in self.claims, "env": variable}
        return case

    def signed(self, issuer: Issuer) -> str:
        """Its token."""
        told = self.claims or {}
        times = {} if "exp" in told else {"exp": int(time.time()) + _HOUR}
        return issuer.sign({**told, **times}, valid=self.valid)


def claims(issuer: str, **more: Any) -> Json:
    """Those of a good token, of ``more`` the others."""
    return {"iss": issuer, "sub": "ann", "aud": AUDIENCE, **more}


def rows(issuer: Issuer) -> tuple[Row, ...]:
    """Requests by a sidecar and by the gateway, with tokens of every kind and paths written in other ways; and some past the mesh."""
    found = [Row("plaintext", "outside", "/open"), Row("plaintext with a token", "outside", claims=claims(INLINE))]
    ways = (
        "/api/a%2fb",
        "/api%2fitems",
        "//api/items",
        "/api//items",
        "/./api/items",
        "/api/./items",
        "/api/x/../items",
        "/api/x/%2e%2e/internal",
        "/api/internal",
        "/api//internal",
        "/api/./internal",
        "/api/x/../internal/a",
        "/api/intern%61l",
        "/api%2finternal",
        "/api/items?/api/internal",
    )
    for source in ("cart", "gateway"):
        for name, token in _tokens(issuer).items():
            found.append(Row(f"{source} {name}", source, **token))
        found += [Row(f"{source} {path}", source, path, claims=claims(INLINE)) for path in ways]
        found += [
            Row(f"{source} without a token at {path}", source, path) for path in ("/open", "/open/..", "//open", "/open%2fa", "/openly")
        ]
        found.append(Row(f"{source} POST", source, method="POST", claims=claims(SERVED)))
    return tuple(found)


def _tokens(issuer: Issuer) -> dict[str, Json]:
    return {
        "no token": {},
        "good, keys inline": {"claims": claims(INLINE)},
        "good, keys by jwksUri": {"claims": claims(SERVED)},
        "good, keys by discovery": {"claims": claims(issuer.discovered)},
        "expired": {"claims": claims(SERVED, exp=_PAST)},
        "of a foreign issuer": {"claims": claims("https://foreign.example")},
        "signed by another key": {"claims": claims(SERVED), "valid": False},
        "for another audience": {"claims": claims(SERVED, aud="other")},
        "without a subject": {"claims": {"iss": SERVED, "aud": AUDIENCE}},
        "of an accepted issuer that no rule names": {"claims": claims(INLINE, sub="bob")},
    }


def gone(source: str) -> Row:
    """A good token of the issuer whose keys istiod could not read."""
    return Row(f"{source} keys that cannot be read", source, claims=claims(GONE))


def mimic() -> Row:
    """An application that no policy is for, and that refuses in the proxy's own words."""
    return Row("refused by the application", "cart", "/cgi-bin/mimic", to="back")


def policies(issuer: Issuer) -> dict[str, str]:
    """Files of layers: the same policies for the workload of the shop and for the gateway, and the way from one to the other."""
    files = {}
    for place, selector in ((TILL, {"app": "web"}), (GATEWAY, {"istio": "ingress"})):
        chosen = {"selector": {"matchLabels": selector}}
        keys = {INLINE: {"jwks": issuer.keys}, SERVED: {"jwksUri": f"{issuer.discovered}/keys"}, issuer.discovered: {}}
        nowhere = {GONE: {"jwksUri": f"http://gone.{OUTSIDE}.svc.cluster.local/keys"}}
        rules = [{"issuer": name, "audiences": [AUDIENCE], **how} for name, how in (keys | nowhere).items()]
        files[f"{place}-tokens"] = _security("RequestAuthentication", place, "tokens", {**chosen, "jwtRules": rules})
        subjects = [f"{name}/ann" for name in (*keys, *nowhere)]
        signed = {"from": [{"source": {"requestPrincipals": subjects}}], "to": [{"operation": {"methods": ["GET"], "paths": ["/api/*"]}}]}
        caller = {"from": [{"source": {"principals": [f"cluster.local/ns/{TILL}/sa/cart"]}}]} if place == TILL else {}
        free = {**caller, "to": [{"operation": {"paths": ["/open", "/open/*"]}}]}
        files[f"{place}-allow"] = _security("AuthorizationPolicy", place, "callers", {**chosen, "rules": [signed, free]})
        closed = {"to": [{"operation": {"paths": ["/api/internal*"]}}]}
        files[f"{place}-deny"] = _security("AuthorizationPolicy", place, "internal", {**chosen, "action": "DENY", "rules": [closed]})
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    files["gateway"] = _networking("Gateway", GATEWAY, "shop", {"selector": {"istio": "ingress"}, "servers": [server]})
    route = {"route": [{"destination": {"host": f"back.{TILL}.svc.cluster.local", "port": {"number": 80}}}]}
    files["route"] = _networking("VirtualService", GATEWAY, "shop", {"hosts": ["*"], "gateways": ["shop"], "http": [route]})
    return files


def _security(kind: str, place: str, name: str, spec: Json) -> str:
    return yaml.safe_dump(
        {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": place}, "spec": spec}
    )


def _networking(kind: str, place: str, name: str, spec: Json) -> str:
    return yaml.safe_dump(
        {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": place}, "spec": spec}
    )


def objects(issuer: Issuer) -> tuple[Json, ...]:
    """A caller and two workloads with sidecars, one of them behind the gateway alone; a caller without one, and the issuer."""
    said = r"#!/bin/sh\nprintf 'Status: 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 19\r\n\r\nRBAC: access denied'"
    write = f'mkdir -p /tmp/www/cgi-bin && cd /tmp/www && printf "%b" "{said}" > cgi-bin/mimic && busybox chmod +x cgi-bin/mimic'
    serve, sleep = f"{write} && exec httpd -f -p 8080 -h /tmp/www", "exec sleep 3600"
    found = [namespace(TILL, **{"istio-injection": "enabled"}), namespace(OUTSIDE)]
    for place, name, command in ((TILL, "cart", sleep), (TILL, "web", serve), (TILL, "back", serve), (OUTSIDE, "cart", sleep)):
        metadata = {"name": name, "namespace": place, "labels": {"app": name}}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": place}}
        spec = {"containers": [_container(command)], "serviceAccountName": name, "terminationGracePeriodSeconds": 1}
        found += [account, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}]
        if command == serve:
            found.append(_service(place, name))
    return (*found, *issuer.objects())


def _container(command: str) -> Json:
    return {"name": "app", "image": pins.APP_IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", command]}


def _service(place: str, name: str) -> Json:
    metadata = {"name": name, "namespace": place}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": name}, "ports": ports}}


def on_the_wire(shell: Shell, issuer: Issuer, wanted: Iterable[Row]) -> dict[str, str]:
    """What becomes of each request, by its name: allow, deny or 401."""
    wanted = tuple(wanted)
    found: dict[str, str] = {}
    for source, place in (("cart", TILL), ("outside", OUTSIDE)):
        mine = [row for row in wanted if row.source == source]
        found |= _by_pods(shell, place, mine, issuer) if mine else {}
    address = _load_balancer(shell)
    return found | {row.name: _by_gateway(address, row, issuer) for row in wanted if row.source == "gateway"}


def _header(row: Row, issuer: Issuer) -> dict[str, str]:
    return {} if row.claims is None else {"Authorization": f"Bearer {row.signed(issuer)}"}


def _by_pods(shell: Shell, place: str, wanted: list[Row], issuer: Issuer) -> dict[str, str]:
    """All of them by one exec: the client says the status line, and nothing where the connection was closed."""
    lines = []
    for row in wanted:
        headers = "".join(f" --header {shlex.quote(f'{name}: {value}')}" for name, value in _header(row, issuer).items())
        body = " --post-data x" if row.method == "POST" else ""
        url = shlex.quote(f"http://web.{TILL}{row.path}")
        mark = urlsafe_b64encode(row.name.encode()).decode()
        lines.append(f"echo; echo = {mark}; wget -q -O /dev/null{headers}{body} {url} 2>&1 && echo HTTP/1.1 200")
    said = shell.ok("kubectl", "exec", "-n", place, "cart", "-c", "app", "--", "sh", "-c", "\n".join([*lines, "true"]))
    names = {urlsafe_b64encode(row.name.encode()).decode(): row.name for row in wanted}
    found = {}
    for part in said.split("\n= ")[1:]:
        name, _, answer = part.partition("\n")
        status = next((int(word) for line in answer.splitlines() if "HTTP/1.1 " in line for word in [line.split("HTTP/1.1 ")[1][:3]]), 0)
        found[names[name.strip()]] = _outcome(status, "")
    return found


def _load_balancer(shell: Shell) -> str:
    return shell.ok("kubectl", "get", "service", GATEWAY, "-n", GATEWAY, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")


def _by_gateway(address: str, row: Row, issuer: Issuer) -> str:
    connection = http.client.HTTPConnection(address, 80, timeout=_PATIENCE)
    try:
        connection.request(row.method, row.path, headers={"Host": f"web.{TILL}", **_header(row, issuer)})
        answer = connection.getresponse()
        return _outcome(answer.status, answer.read().decode())
    except OSError as error:
        return f"no answer: {error}"
    finally:
        connection.close()


def _outcome(status: int, body: str) -> str:
    """The application says 200 or 404, and never 401 or 403; a closed connection is 0."""
    if status == http.HTTPStatus.FORBIDDEN and body and body not in _DENIALS:
        return f"403 of somebody else: {body}"
    known = {0: "deny", 200: "allow", 404: "allow", 403: "deny", 401: "401"}
    return known.get(status, str(status))
