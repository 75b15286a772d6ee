"""The command ``authz test --live`` as users type it, on an API server that lets nothing be changed."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from tests.cli.running import Run
from tests.cli.test_verify import Api, kubeconfig
from tests.contracts.servers import serving

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "authz-test.json").read_text())
PODS = "/api/v1/namespaces/shop/pods"
ROW = """  - name: {name}
    from: {source}
    to: {{namespace: shop, labels: {{app: web}}, port: 8080}}
    token: {carrying}
    expect: allow
"""
READS = ROW.format(name="the cart reads", source="{serviceAccount: shop/cart}", carrying="null")
SIGNED = ROW.format(name="ann", source="{plaintext: true}", carrying="{claims: {sub: ann}, env: ANN}")
CLAIMS = ROW.format(name="claims alone", source="{serviceAccount: shop/cart}", carrying="{claims: {sub: ann}}")
POD = {
    "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {
        "initContainers": [
            {"name": "istio-init", "args": ["istio-iptables", "-b", "*", "-i", "*"]},
            {"name": "istio-proxy", "args": ["proxy", "sidecar"], "restartPolicy": "Always"},
        ],
        "containers": [{"name": "app"}],
    },
    "status": {"phase": "Running", "podIP": "10.0.0.8", "conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Iterator[Api]:  # noqa: ARG001 - it takes KUBECONFIG away first
    """A cluster with a workload, and a kubeconfig that leads to it."""
    found = Api(lists={PODS: [POD]})

    class Handler(BaseHTTPRequestHandler):
        """Hands every request over."""

        def _hand(self) -> None:
            found.answer(self)

        do_GET = do_POST = do_PATCH = do_DELETE = _hand  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(Handler) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, f"http://{address}")))
        yield found


def table(*rows: str) -> str:
    Path("table.yaml").write_text("cases:\n" + "".join(rows))
    return "table.yaml"


def test_without_a_terminal_it_does_not_start_pods_in_namespaces_of_others_unasked(run: Run, api: Api) -> None:
    done = run("authz", "test", table(READS), "--live")
    assert done.status == 2
    assert "standard input is not a terminal" in done.err
    assert "pods are started as shop/cart, and removed again" in done.err
    assert api.requests == []


def test_without_a_terminal_it_sends_nothing_unasked(run: Run, api: Api) -> None:
    done = run("authz", "test", table(ROW.format(name="anybody", source="{plaintext: true}", carrying="null")), "--live")
    assert done.status == 2
    assert "standard input is not a terminal" in done.err
    assert "add --yes: 1 request is sent from a namespace of its own, which is removed again" in done.err
    assert api.requests == []


def test_what_cannot_be_started_is_not_proven_and_exit_status_5(run: Run, api: Api, tmp_path: Path) -> None:
    done = run("authz", "test", table(READS, CLAIMS), "--live", "--yes", "--junit", "junit.xml")
    assert done.status == 5
    lines = done.out.splitlines()
    assert lines[0] == "NOT PROVEN table.yaml:2: the cart reads: expected allow, is unknown"
    assert lines[1].startswith("           pod web-1: ")
    assert lines[2] == "NOT PROVEN table.yaml:7: claims alone: expected allow, is unknown"
    assert "cannot be signed" in lines[3]
    assert lines[4] == "0 passed, 2 not proven"
    assert len(ET.parse(tmp_path / "junit.xml").getroot().findall(".//error")) == 2  # noqa: S314 - we wrote it
    assert f"GET {PODS}" in api.requests


@pytest.mark.usefixtures("api")
def test_its_json_says_that_it_called(run: Run) -> None:
    done = run("authz", "test", table(CLAIMS), "--live", "-o", "json")
    document = json.loads(done.out)
    jsonschema.validate(document, SCHEMA)
    assert document["live"] is True
    assert [case["result"] for case in document["cases"]] == ["NOT PROVEN"]
    assert [case["outcome"] for case in document["cases"]] == ["undecided"]


@pytest.mark.parametrize("value", ["hunter2", "a.b.c\r\nx: y", "a.b." + "c" * 20000])
def test_a_variable_that_holds_something_else_is_named_and_never_shown(
    run: Run, api: Api, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ANN", value)
    done = run("authz", "test", table(SIGNED), "--live")
    assert done.status == 2
    assert "the variable ANN does not hold a JSON Web Token" in done.err
    assert value not in done.out + done.err
    assert api.requests == []


def test_a_token_is_neither_in_the_output_nor_in_what_the_api_server_hears(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN", "e30.eyJzdWIiOiAiYW5uIn0.c2lnbmVk")
    done = run("authz", "test", table(SIGNED), "--live", "--yes", "-o", "json")
    assert done.status == 5
    assert "c2lnbmVk" not in done.out + done.err + "".join(api.requests)


@pytest.mark.usefixtures("api")
def test_a_token_that_is_not_there_is_named(run: Run) -> None:
    assert "the variable ANN is not set" in run("authz", "test", table(SIGNED), "--live").out


def test_files_of_policies_do_not_go_with_it(run: Run) -> None:
    done = run("authz", "test", table(READS), "policies", "--live")
    assert done.status == 2
    assert "--live reads no policies: it calls what is there" in done.err


@pytest.mark.parametrize("variable", ["a-b", "eyJhbGciOi.x.y", "1A", "A B"])
def test_a_token_is_not_written_in_the_place_of_its_variable(run: Run, variable: str) -> None:
    row = ROW.format(name="ann", source="{plaintext: true}", carrying=f"{{claims: {{}}, env: '{variable}'}}")
    done = run("authz", "test", table(row), "--live")
    assert done.status == 2
    assert "env is not the name of an environment variable" in done.err
