"""The command ``policy migrate`` as users type it, on an API server that lets nothing be changed."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import jsonschema
import pytest

from tests.cli.running import Run
from tests.cli.test_verify import Api, kubeconfig, misled
from tests.contracts.servers import serving

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "policy-migrate.json").read_text())


@pytest.fixture
def api(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:  # noqa: ARG001 - the folder of a run
    """A mesh of one pod, whose proxy cannot be asked, in an environment dev."""
    found = Api()

    class Handler(BaseHTTPRequestHandler):
        def _hand(self) -> None:
            found.answer(self)

        do_GET = do_POST = do_PATCH = do_DELETE = _hand  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    misled(found)
    (tmp_path / "meshinstall.yaml").write_text("apiVersion: meshinstall.dev/v1\nenvironments: {dev: {cloud: local}}\n")
    with serving(Handler) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, f"http://{address}")))
        yield found


def test_it_names_who_would_be_refused_and_what_was_not_seen_and_changes_nothing(run: Run, api: Api, tmp_path: Path) -> None:
    api.lists["/apis/security.istio.io/v1/peerauthentications"] = []
    done = run("policy", "migrate", "--env", "dev", "--out", str(tmp_path / "out"))
    assert done.status == 0
    assert done.out.startswith("NOT READY   shop  STRICT\n")
    assert "\nNOT READY   shop  deny-by-default\n" in done.out
    assert "first fix the clients that send plaintext to these ports" in done.out
    assert "no Prometheus tells of the days before" in done.out
    assert not (tmp_path / "out").exists()
    assert {request.partition(" ")[0] for request in api.requests} == {"GET"}


def test_its_json_is_what_the_schema_says(run: Run, api: Api) -> None:
    done = run("policy", "migrate", "--env", "dev", "-o", "json")
    found = json.loads(done.out)
    jsonschema.validate(found, SCHEMA)
    assert [(one["goal"], one["readiness"]) for one in found["steps"]] == [
        ("STRICT", "NOT READY"),
        ("deny-by-default", "NOT READY"),
    ]
    assert api.requests


def test_an_environment_has_to_be_named(run: Run) -> None:
    done = run("policy", "migrate")
    assert done.status == 2
    assert "--env" in done.err
