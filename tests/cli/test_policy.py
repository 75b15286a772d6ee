"""The command ``policy check`` as users type it, with the schemas of Istio's real chart."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jsonschema
import pytest
import trustme

from meshinstall.checks.policies.judge import judge
from meshinstall.checks.policies.reading import Policies
from meshinstall.config.policy_files import read_objects
from testbed import paths
from testbed.build import catalog
from testbed.build.builder import build
from testbed.build.istio import RELEASE
from tests.cases import policies
from tests.cli.running import Run

pytestmark = pytest.mark.tools

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "policy-check.json").read_text())


@dataclass(frozen=True, slots=True)
class Oidc:
    """An identity provider on loopback, and the authority that signed its certificate."""

    issuer: str
    authority: Path


class _Provider(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        issuer = f"https://{self.headers['Host']}"
        pages = {
            "/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": f"{issuer}/keys"},
            "/keys": {"keys": [{"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"}]},
        }
        body = json.dumps(pages.get(self.path)).encode()
        self.send_response(200 if self.path in pages else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oidc]:
    """A provider that runs for one test."""
    authority, file = trustme.CA(), tmp_path_factory.mktemp("oidc") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Oidc(f"https://localhost:{server.server_port}", file)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def charts(build_part: Callable[[str], Path]) -> Path:
    """A folder with Istio's charts; found before a test has a home of its own."""
    return build_part("charts")


def test_the_safe_way_of_every_case_is_of_the_form_that_istio_wants(run: Run, charts: Path) -> None:
    files = [str(policies.FOLDER / name / "right.yaml") for name in policies.names()]
    for file in files:
        done = run("policy", "check", file, "--charts", str(charts))
        assert (done.status, done.err) == (0, ""), done
        assert done.out.startswith("no problems in ")


def test_mistakes_of_form_and_of_meaning_are_said_with_their_places(run: Run, charts: Path) -> None:
    wrong = [str(policies.FOLDER / name / "wrong.yaml") for name in ("unknown-field", "spiffe-prefix")]
    done = run("policy", "check", *wrong, "--charts", str(charts), "-o", "json")
    assert done.status == 2
    found = json.loads(done.out)
    jsonschema.validate(found, SCHEMA)
    assert [(one["line"], one["text"]) for one in found["problems"] if "no field" in one["text"]] == [
        (8, "AuthorizationPolicy has no field spec.rules.0.from.0.source.principal")
    ]
    assert [(one["code"], one["line"]) for one in found["findings"]] == [("POL001", 8)]


@pytest.fixture(scope="module")
def samples() -> Path:
    """The samples in the source of the Istio that the testbed builds."""
    shop = build(catalog.PARTS, ("go",), paths.cache_dir(), lambda _: None)
    return RELEASE.source(shop, "samples") / "samples"


def test_istios_own_samples_have_no_findings(samples: Path) -> None:
    files = sorted(samples.rglob("*.yaml"))
    found = [one for file in files for one in judge(Policies(read_objects([file], [])))]
    assert len(files) > 50
    assert found == []


def test_a_mesh_is_known_by_its_environment(run: Run, charts: Path, tmp_path: Path) -> None:
    mesh = "{trustDomain: prod.example.com, extensionProviders: [{name: opa}]}"
    values = f"values: {{istiod: {{meshConfig: {mesh}}}}}"
    (tmp_path / "meshinstall.yaml").write_text(
        f"apiVersion: meshinstall.dev/v1\ncharts: {{source: {charts}}}\nenvironments:\n  prod: {{cloud: local, {values}}}\n"
    )
    file = str(policies.FOLDER / "unknown-provider" / "wrong.yaml")
    assert run("policy", "check", file, "--env", "prod", "--config", str(tmp_path)).status == 0
    # Of an environment on several clouds, the one that is meant.
    assert run("policy", "check", file, "--env", "dev", "--cloud", "eks", "--charts", str(charts)).status == 2
    assert "known: opa" in run("policy", "check", file.replace("wrong", "right"), "--env", "prod", "--config", str(tmp_path)).out


def test_what_was_not_held_against_schemas_is_no_success(run: Run, tmp_path: Path) -> None:
    file = str(policies.FOLDER / "disabled" / "right.yaml")
    done = run("policy", "check", file, "--charts", str(tmp_path / "gone"))
    assert done.status == 1
    assert "no problems in 1 object" in done.out
    assert "gone" in done.err


def test_a_cluster_that_cannot_be_asked_proves_nothing(run: Run, charts: Path, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    cluster = "{name: a, cluster: {server: 'https://127.0.0.1:1'}}"
    kubeconfig.write_text(
        f"apiVersion: v1\nkind: Config\nclusters: [{cluster}]\nusers: [{{name: a, user: {{token: t}}}}]\n"
        "contexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n"
    )
    file = str(policies.FOLDER / "disabled" / "right.yaml")
    here = ("policy", "check", file, "--charts", str(charts), "--dry-run", "--kubeconfig", str(kubeconfig))
    done = run(*here, "-o", "json")
    assert done.status == 5, done
    found = json.loads(done.out)
    jsonschema.validate(found, SCHEMA)
    assert [(one["outcome"], one["line"]) for one in found["dryRun"]] == [("not proven", 1)]
    assert "1 not proven in 1 object; dry run of 1: 0 accepted" in run(*here).out
    assert run("policy", "check", file.replace("right", "wrong").replace("disabled", "spiffe-prefix"), *here[3:]).status == 2


def test_identity_providers_are_compared_with_what_they_publish(
    run: Run, tmp_path: Path, oidc: Oidc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(oidc.authority))
    provider = f"{{type: generic, issuer: '{oidc.issuer}', jwksUri: '{oidc.issuer}/keys', audiences: [web]}}"
    project = f"apiVersion: meshinstall.dev/v1\nidentity:\n  staff: {provider}\nenvironments: {{prod: {{cloud: local}}}}\n"
    (tmp_path / "meshinstall.yaml").write_text(project)
    here = ("policy", "check", "--env", "prod", "--online", "--charts", str(tmp_path / "none"))
    assert "no problems in 0 objects" in run(*here).out
    (tmp_path / "meshinstall.yaml").write_text(project.replace("/keys", "/jwks"))
    done = run(*here)
    assert done.status == 2
    assert (
        f"meshinstall.yaml:3:3: error POL025: identity provider staff: {oidc.issuer}/.well-known/openid-configuration has jwks_uri"
        in done.out
    )
    assert "warning POL026" in done.out
    assert run("policy", "check", "--online", str(tmp_path)).status == 2
