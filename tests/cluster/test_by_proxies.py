"""A table that is decided by what real proxies have: as their policies say, and otherwise while istiod has not pushed these."""

import json
from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import trustme

from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster import token_shop
from tests.cluster.mesh import Shell, namespace, web
from tests.cluster.meshinstall_run import Done, Program, meshinstall

pytestmark = pytest.mark.cluster

_CASE = """  - name: {name}
    from: {{serviceAccount: {account}}}
    to: {{namespace: shop, labels: {{app: web}}, port: 8080}}
    request: {{method: {method}, path: /api/items}}
    expect: {expect}
"""
_TABLE = "cases:\n" + "".join(
    _CASE.format(name=name, account=account, method=method, expect=expect)
    for name, account, method, expect in (
        ("the cart reads", "shop/cart", "GET", "allow"),
        ("the cart does not write", "shop/cart", "POST", "deny"),
        ("nobody of the bank reads", "bank/till", "GET", "deny"),
    )
)


_AT_GATEWAY = """  - name: {name}
    from: {source}
    to: {{namespace: istio-ingress, labels: {{istio: ingress}}, port: {port}}}
    request: {{method: {method}, path: /api/items, host: shop.example}}
    expect: {expect}
"""
_GATEWAY_TABLE = "cases:\n" + "".join(
    _AT_GATEWAY.format(name=name, source=source, port=port, method=method, expect=expect)
    for name, source, port, method, expect in (
        ("anybody reads", "{plaintext: true}", 80, "GET", "allow"),
        ("the cart reads by plaintext", "{serviceAccount: shop/cart}", 80, "GET", "allow"),
        ("the cart reads", "{serviceAccount: shop/cart}", 8443, "GET", "allow"),
        ("anybody reads by TLS", "{plaintext: true, serverName: shop.example}", 7443, "GET", "allow"),
        ("nobody writes", "{plaintext: true}", 80, "POST", "deny"),
    )
)


def policy(name: str, place: str = "shop", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": place}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}


READING = policy(
    "web",
    selector={"matchLabels": {"app": "web"}},
    rules=[{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/cart"]}}], "to": [{"operation": {"methods": ["GET"]}}]}],
)
CLOSED = policy("closed", action="DENY", rules=[{"from": [{"source": {"namespaces": ["shop"]}}]}])
AT_GATEWAY = {"selector": {"matchLabels": {"istio": "ingress"}}}
READS = [{"to": [{"operation": {"methods": ["GET"]}}]}, {"from": [{"source": {"requestPrincipals": [f"{token_shop.INLINE}/ann"]}}]}]
GATEWAY_READING = policy("edge", "istio-ingress", **AT_GATEWAY, rules=READS)
GATEWAY_TOKENS = {
    **policy("edge", "istio-ingress", **AT_GATEWAY, jwtRules=[{"issuer": token_shop.INLINE, "jwks": token_shop.Issuer().keys}]),
    "kind": "RequestAuthentication",
}
GATEWAY_CLOSED = policy("closed", "istio-ingress", **AT_GATEWAY, action="DENY", rules=READS)


def servers() -> tuple[dict[str, Any], ...]:
    """What the gateway serves: plaintext, TLS of the mesh, TLS that it ends, and TLS that it passes on."""
    plain = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    mutual = {"port": {"number": 8443, "name": "https", "protocol": "HTTPS"}, "hosts": ["shop.example"], "tls": {"mode": "ISTIO_MUTUAL"}}
    passed = {"port": {"number": 9443, "name": "tls", "protocol": "TLS"}, "hosts": ["db.example"], "tls": {"mode": "PASSTHROUGH"}}
    ended = {"port": {"number": 7443, "name": "tls-7443", "protocol": "HTTPS"}, "hosts": ["shop.example"]}
    ended["tls"] = {"mode": "SIMPLE", "credentialName": "edge"}
    found, metadata = {"apiVersion": "networking.istio.io/v1"}, {"name": "edge", "namespace": "istio-ingress"}
    gateway = {"selector": {"istio": "ingress"}, "servers": [plain, mutual, ended, passed]}
    to = {"host": "web.shop.svc.cluster.local", "port": {"number": 80}}
    tls = {"match": [{"port": 9443, "sniHosts": ["db.example"]}], "route": [{"destination": to}]}
    route = {"hosts": ["*.example"], "gateways": ["edge"], "http": [{"route": [{"destination": to}]}], "tls": [tls]}
    return (
        {**found, "kind": "Gateway", "metadata": metadata, "spec": gateway},
        {**found, "kind": "VirtualService", "metadata": metadata, "spec": route},
    )


def certificate() -> dict[str, Any]:
    """The Secret of the server that ends TLS."""
    made = trustme.CA().issue_cert("shop.example")
    pem = {"tls.crt": made.cert_chain_pems[0].bytes(), "tls.key": made.private_key_pem.bytes()}
    data = {name: b64encode(one).decode() for name, one in pem.items()}
    metadata = {"name": "edge", "namespace": "istio-ingress"}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data}


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, shell: Shell) -> Program:
    """Meshinstall with a mesh in which two pods are one workload behind its gateway."""
    found = meshinstall(own_module_cluster)
    found.up("--no-verify")
    pods = []
    for name in ("web-1", "web-2"):
        pod, service = deepcopy(web("shop", name))
        pod["metadata"]["labels"] = {"app": "web"}
        pods.append(pod)
    service["metadata"] = {"name": "web", "namespace": "shop"}
    service["spec"]["selector"] = {"app": "web"}
    shell.apply(namespace("shop", **{"istio-injection": "enabled"}))
    shell.apply(service, READING, certificate(), *servers(), GATEWAY_READING, GATEWAY_TOKENS, *pods)
    shell.ok("kubectl", "wait", "-n", "shop", "pod/web-1", "pod/web-2", "--for=condition=Ready", "--timeout=90s")
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the table."""
    file = tmp_path_factory.mktemp("table") / "table.yaml"
    file.write_text(_TABLE)
    return file


@pytest.fixture(scope="module")
def gateway_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a table of requests to the gateway."""
    file = tmp_path_factory.mktemp("table") / "gateway.yaml"
    file.write_text(_GATEWAY_TABLE)
    return file


def tried(program: Program, table: Path, *flags: str) -> Done:
    return program.run("authz test", str(table), "--by-proxies", *flags)


def test_what_istiod_has_pushed_is_as_the_policies_say(program: Program, table: Path) -> None:
    done = until(lambda: _ended(tried(program, table), 0), 60, lambda: str(tried(program, table)))
    assert "the cart reads: allow by 2 of 2 proxies\n          AuthorizationPolicy shop/web: an ALLOW of the proxy matches" in done.out
    assert done.out.endswith("3 passed\n")
    assert "not pushed" not in done.out


def test_a_gateway_is_decided_by_its_own_servers_and_has_what_the_policies_say(program: Program, gateway_table: Path) -> None:
    done = until(lambda: _ended(tried(program, gateway_table), 0), 60, lambda: str(tried(program, gateway_table)))
    assert "AuthorizationPolicy istio-ingress/edge: an ALLOW of the proxy matches" in done.out
    assert "not pushed" not in done.out
    document = json.loads(program.ok("authz who", "--live", "--by-proxies", "-n", "istio-ingress", "-o", "json").out)
    assert (document["notPushed"], document["gaps"]) == ([], [])


def test_a_policy_that_istiod_cannot_push_is_named_with_the_proxies_until_it_can(
    program: Program, table: Path, gateway_table: Path, shell: Shell
) -> None:
    # Its webhook would judge the policy, and it is not there.
    shell.ok("kubectl", "delete", "validatingwebhookconfigurations", "--all")
    shell.ok("kubectl", "scale", "deployment/istiod", "-n", "istio-system", "--replicas=0")
    shell.ok("kubectl", "wait", "-n", "istio-system", "pod", "-l", "app=istiod", "--for=delete", "--timeout=90s")
    shell.apply(CLOSED, GATEWAY_CLOSED)
    done = tried(program, table)
    assert done.status == 0, str(done)
    said = "the cluster's policies say deny (AuthorizationPolicy shop/closed), not allow: shop/web-1, shop/web-2"
    assert f"not pushed, or changed on its way: {said}" in done.out
    document = json.loads(tried(program, table, "-o", "json").out)
    assert [len(case["notes"]) for case in document["cases"]] == [1, 0, 0]
    told = " ".join(program.ok("authz who", "--live", "--by-proxies", "-n", "shop").out.split())
    assert "shop/web-1: not pushed to shop/web-1 FROM PORT WHAT shop/cart any GET" in told
    document = json.loads(tried(program, gateway_table, "-o", "json").out)
    said = "the cluster's policies say deny (AuthorizationPolicy istio-ingress/closed), not allow: istio-ingress/istio-ingress-"
    assert [[note.partition(": ")[2].startswith(said) for note in case["notes"]] for case in document["cases"]] == [[True]] * 4 + [[]]
    document = json.loads(program.ok("authz who", "--live", "--by-proxies", "-n", "istio-ingress", "-o", "json").out)
    assert document["gaps"] == []
    (unpushed,) = document["notPushed"]
    assert {port["is"] for row in unpushed["access"] for port in row["ports"]} == {"80", "7443", "8443"}
    assert {(row["verdicts"]["live"]["outcome"], row["verdicts"]["proxy"]["outcome"]) for row in unpushed["access"]} == {("deny", "allow")}
    shell.ok("kubectl", "scale", "deployment/istiod", "-n", "istio-system", "--replicas=1")
    # It does not reach both at the same moment.
    done = until(lambda: _ended(tried(program, table), 4, "by 2 of 2 proxies"), 90, lambda: str(tried(program, table)))
    assert "the cart reads: expected allow, is deny by 2 of 2 proxies" in done.out
    assert "not pushed" not in done.out


def _ended(done: Done, status: int, words: str = "") -> Done | None:
    return done if done.status == status and words in done.out.partition("\n")[0] else None
