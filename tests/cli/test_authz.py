"""The command ``authz test`` as users type it."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from tests.cli.running import Run

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "authz-test.json").read_text())
POLICY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/cart]}}]
      to: [{operation: {methods: [GET], paths: [/api/*]}}]
"""
TABLE = """cases:
  - name: the cart may read
    from: {serviceAccount: shop/cart}
    to: {namespace: shop, labels: {app: web}, port: 8080}
    request: {path: /api/items}
    expect: allow
"""
WRITES = """  - from: {serviceAccount: shop/cart}
    to: {namespace: shop, labels: {app: web}, port: 8080}
    request: {method: POST, path: /api/items}
    expect: allow
"""
NEAR = """  - from: {serviceAccount: shop/cart}
    to: {namespace: shop, labels: {app: near}, port: 8080}
    expect: allow
"""
NEAR_POLICY = """---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: near, namespace: shop}
spec:
  selector: {matchLabels: {app: near}}
  rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("policies.yaml").write_text(POLICY + NEAR_POLICY)
    return tmp_path


def test_a_table_that_holds_is_exit_status_0_and_names_the_rules(run: Run) -> None:
    Path("table.yaml").write_text(TABLE)
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert done.status == 0
    assert done.out.splitlines() == [
        "PASS      table.yaml:2: the cart may read: allow",
        "          policies.yaml:7: AuthorizationPolicy shop/web: an ALLOW matches",
        "1 passed",
    ]


def test_what_is_decided_otherwise_is_exit_status_4_also_beside_what_is_undecided(run: Run) -> None:
    Path("table.yaml").write_text(TABLE + WRITES + NEAR)
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert done.status == 4
    assert "FAIL      table.yaml:7: shop/cart to shop app=web port 8080 POST /api/items: expected allow, is deny" in done.out
    assert done.out.endswith("1 passed, 1 failed, 1 undecided\n")


def test_what_files_do_not_tell_is_exit_status_5(run: Run) -> None:
    Path("table.yaml").write_text(TABLE + NEAR)
    assert run("authz", "test", "table.yaml", "policies.yaml").status == 5


def test_json_is_of_the_schema_and_junit_has_each_case(run: Run) -> None:
    Path("table.yaml").write_text(TABLE + WRITES + NEAR)
    done = run("authz", "test", "table.yaml", "policies.yaml", "-o", "json", "--junit", "junit.xml")
    found = json.loads(done.out)
    jsonschema.validate(found, SCHEMA)
    assert [one["result"] for one in found["cases"]] == ["PASS", "FAIL", "UNDECIDED"]
    suite = ET.parse("junit.xml").getroot()  # noqa: S314 - written by us
    assert [case[0].tag for case in suite.iter("testcase")] == ["system-out", "failure", "error"]


def test_mistakes_of_the_table_are_said_with_their_lines(run: Run) -> None:
    Path("table.yaml").write_text(TABLE + "  - {from: {plaintext: true, principal: x}, to: {namespace: shop, port: 70000}, expect: 401}\n")
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert done.status == 2
    assert "table.yaml:7:6: from needs one of serviceAccount, principal and plaintext: true" in done.err
    assert "table.yaml:7:67: port must be the number of a container's port" in done.err


def test_a_table_with_a_real_token_is_refused_and_the_token_is_not_shown(run: Run) -> None:
    signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
    Path("table.yaml").write_text(TABLE.replace("/api/items}", f"/api/items, headers: {{authorization: Bearer {signed}}}}}"))
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert done.status == 2
    assert signed not in done.out + done.err


def test_a_table_without_cases_is_a_mistake(run: Run) -> None:
    Path("table.yaml").write_text("cases: []\n")
    assert run("authz", "test", "table.yaml", "policies.yaml").status == 2


def test_without_policies_nothing_is_tested(run: Run) -> None:
    Path("table.yaml").write_text(TABLE)
    assert run("authz", "test", "table.yaml").status == 2


def test_an_environment_brings_its_layers_its_trust_domain_and_its_mtls(run: Run, folder: Path) -> None:
    values = "values: {istiod: {meshConfig: {trustDomain: prod.example}}}"
    (folder / "meshinstall.yaml").write_text(
        f"apiVersion: meshinstall.dev/v1\nenvironments:\n  prod: {{cloud: local, mtls: STRICT, {values}}}\n"
    )
    layer = folder / "policies" / "base" / "web.yaml"
    layer.parent.mkdir(parents=True)
    layer.write_text(POLICY.replace("cluster.local", "prod.example"))
    outside = "  - {from: {plaintext: true}, to: {namespace: shop, port: 9090}, expect: deny}\n"
    Path("table.yaml").write_text(TABLE + outside)
    done = run("authz", "test", "table.yaml", "--env", "prod")
    assert done.status == 0, done
    assert "PeerAuthentication istio-system/default: mTLS is STRICT" in done.out


def test_control_characters_of_files_do_not_reach_the_terminal(run: Run) -> None:
    Path("table.yaml").write_text(TABLE.replace("the cart may read", '"the cart \\e[31m"'))
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert "\x1b" not in done.out + done.err


def test_a_principal_that_no_certificate_can_have_is_a_mistake(run: Run) -> None:
    """To compare it with a service account takes time with the square of its length."""
    Path("table.yaml").write_text(
        f"cases:\n  - {{from: {{principal: {'x/ns/shop/' * 300}}}, to: {{namespace: shop, port: 80}}, expect: deny}}\n"
    )
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert done.status == 2
    assert "principal must have at most 2048 characters" in done.err


DENY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}
"""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("methods: [GET]", "methods: GET", "policies.yaml:4:49: spec.rules.0.to.0.operation.methods must be a list"),
        ("methods: [GET]", "ports: [80]", "policies.yaml:4:57: spec.rules.0.to.0.operation.ports.0 must be text (quote it)"),
        ("methods: [GET]", "method: [GET]", "AuthorizationPolicy has no field spec.rules.0.to.0.operation.method (did you mean methods?)"),
        ("[{to: [{operation: {methods: [GET]}}]}]", "[null]", "policies.yaml:4:30: spec.rules.0 must be a map"),
        ("DENY", "deny", "spec.action must be one of ALLOW, DENY, AUDIT, CUSTOM"),
        (", namespace: shop", "", "policies.yaml:3:1: AuthorizationPolicy nobody has no namespace"),
        ("methods: [GET]", 'paths: ["/a{*}"]', "istiod refuses AuthorizationPolicy shop/nobody: /a{*} has a brace outside of {*} and {**}"),
    ],
)
def test_an_object_that_no_cluster_has_decides_nothing(run: Run, before: str, after: str, said: str) -> None:
    """Each of these would deny the request of the table, if the cluster took it."""
    Path("policies.yaml").write_text(DENY.replace(before, after))
    Path("table.yaml").write_text(TABLE.replace("expect: allow", "expect: deny"))
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert done.status == 2
    assert said in done.err


def test_one_object_twice_is_a_mistake(run: Run) -> None:
    Path("policies.yaml").write_text(f"{DENY}---\n{DENY}")
    Path("table.yaml").write_text(TABLE)
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert done.status == 2
    assert "policies.yaml:6:1: AuthorizationPolicy shop/nobody is also in policies.yaml:1: the one that is applied last wins" in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "patch: {kind: AuthorizationPolicy, namespace: shop, name: nobody}\noperations: []\n",
            "no object of Kubernetes is in this file of a layer",
        ),
        (DENY, "AuthorizationPolicy shop/nobody is also in policies/base/web.yaml:1"),
    ],
    ids=["a patch", "another layer"],
)
def test_layers_are_not_tested_without_their_environment(run: Run, text: str, said: str) -> None:
    """What a nearer layer changes would be left out, or count beside what it replaces."""
    for name, content in {"base/web.yaml": DENY, "envs/prod/web.yaml": text}.items():
        Path("policies", name).parent.mkdir(parents=True)
        Path("policies", name).write_text(content)
    Path("table.yaml").write_text(TABLE)
    done = run("authz", "test", "table.yaml", "policies")
    assert done.status == 2
    assert said in done.err
    assert run("authz", "test", "table.yaml", "policies/base").status == 4


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("{namespace: edge, labels: {istio: edge}, port: 443}", 0),
        ("{namespace: edge, gateway: true, port: 443}", 0),
        ("{namespace: istio-ingress, port: 443}", 0),
        ("{namespace: istio-ingress, gateway: false, port: 443}", 4),
        ("{namespace: edge, port: 443}", 4),
    ],
)
def test_strict_does_not_close_a_gateway(run: Run, folder: Path, to: str, status: int) -> None:
    """Its servers say who must have a certificate: clients from outside have none."""
    (folder / "meshinstall.yaml").write_text("apiVersion: meshinstall.dev/v1\nenvironments:\n  prod: {cloud: local, mtls: STRICT}\n")
    Path("table.yaml").write_text(f"cases:\n  - {{from: {{plaintext: true}}, to: {to}, expect: allow}}\n")
    done = run("authz", "test", "table.yaml", "policies.yaml", "--env", "prod")
    assert done.status == status, done


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("request: {headers: {X-Team: a, x-team: b}}", "the header x-team is duplicate"),
        ("request: {headers: {Host: shop.example}}", "the host has a key of its own (write request: {host: NAME})"),
        ("token: {claims: {iss: a}, param: token, cookie: session}", "a token is in a param or in a cookie"),
    ],
)
def test_a_row_that_means_two_things_is_a_mistake(run: Run, request_: str, said: str) -> None:
    Path("table.yaml").write_text(
        f"cases:\n  - {{from: {{plaintext: true}}, to: {{namespace: shop, port: 80}}, expect: allow, {request_}}}\n"
    )
    done = run("authz", "test", "table.yaml", "policies.yaml")
    assert done.status == 2
    assert said in done.err
