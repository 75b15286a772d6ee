"""The command ``authz who`` as users type it."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cli.running import Run

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "authz-who.json").read_text())
POLICY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/cart]}}]
      to: [{operation: {methods: [GET], paths: [/api/*]}}]
    - from: [{source: {namespaces: [jobs]}}]
      when: [{key: "request.headers[x-tier]", values: [gold]}]
    - from: [{source: {namespaces: [proxies]}}]
      when: [{key: "request.headers[x-forwarded-for]", values: [10.0.0.1]}]
"""
CLOSED = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: shop}
spec: {selector: {matchLabels: {app: db}}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("policies.yaml").write_text(POLICY + CLOSED)
    return tmp_path


def test_each_workload_has_a_table_of_who_may_call_what_by_which_rule(run: Run) -> None:
    done = run("authz", "who", "policies.yaml")
    assert done.status == 0
    assert done.out.splitlines() == [
        "shop: app=web",
        "  FROM                        PORT        MAY CALL",
        "  jobs/*                      any         any HTTP request when",
        "                                          request.headers[x-tier] = gold",
        "    by policies.yaml:9 AuthorizationPolicy shop/web",
        "  proxies/*                   any         any HTTP request",
        "    undecided: the decision depends on something unknown: the header",
        "    x-forwarded-for, which the proxy itself writes",
        "  shop/cart                   any         GET /api/*",
        "    by policies.yaml:7 AuthorizationPolicy shop/web",
        "",
        "shop: app=db",
        "  nobody",
        "",
        "2 workloads, by files",
    ]


def test_json_is_of_the_schema_and_names_what_is_left_out(run: Run) -> None:
    deny = (
        "---\n"
        + POLICY.replace("name: web", "name: none").replace("  rules:", "  action: DENY\n  rules:").split("    - from: [{source: {n")[0]
    )
    Path("policies.yaml").write_text(POLICY + deny.replace("/api/*", "/api/v1").replace("methods: [GET], ", ""))
    done = run("authz", "who", "policies.yaml", "-o", "json")
    document = json.loads(done.out)
    jsonschema.validate(document, SCHEMA)
    (web,) = document["workloads"]
    (cart,) = [one for one in web["access"] if one["from"] == [{"is": "shop/cart", "but": []}]]
    assert cart["paths"] == [{"is": "/api/*", "but": ["/api/v1"]}]
    assert cart["verdicts"]["files"]["place"] == "policies.yaml:7"


def test_only_workloads_of_a_namespace_are_told_when_asked(run: Run) -> None:
    assert run("authz", "who", "policies.yaml", "-n", "other").out == "0 workloads, by files\n"


def test_without_anything_to_read_it_says_what_to_name(run: Run) -> None:
    done = run("authz", "who")
    assert done.status == 2
    assert "no policies are named" in done.err


def test_a_workload_with_too_many_rules_is_undecided_with_the_reason(run: Run) -> None:
    sources = ", ".join(f"{{source: {{namespaces: ['a*b{index}*c']}}}}" for index in range(6))
    Path("policies.yaml").write_text(POLICY.split("    - from", maxsplit=1)[0] + f"    - from: [{sources}]\n")
    done = run("authz", "who", "policies.yaml")
    assert done.status == 0
    assert "too many" in " ".join(done.out.split())


def test_proxies_are_asked_only_beside_a_cluster(run: Run) -> None:
    done = run("authz", "who", "policies.yaml", "--by-proxies")
    assert done.status == 2
    assert "--by-proxies needs --live" in done.err


def test_a_gateway_that_targetrefs_name_is_a_workload_and_undecided_where_no_file_says_that_it_is_one(run: Run) -> None:
    target = "{group: gateway.networking.k8s.io, kind: Gateway, name: edge}"
    policy = f"""apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: edge, namespace: front}}
spec: {{targetRefs: [{target}], rules: [{{to: [{{operation: {{methods: [GET]}}}}]}}]}}
"""
    gateway = """---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: front}
spec: {gatewayClassName: istio}
"""
    Path("front.yaml").write_text(policy)
    assert "front: gateway edge" in (found := run("authz", "who", "front.yaml").out)
    assert "undecided: it is unknown whether it is a gateway or a waypoint" in " ".join(found.split())
    Path("front.yaml").write_text(policy + gateway)
    assert run("authz", "who", "front.yaml").out.splitlines()[:4] == [
        "front: gateway edge",
        "  FROM                        PORT        MAY CALL",
        "  anybody                     any         GET any path",
        "    by front.yaml:4 AuthorizationPolicy front/edge",
    ]
