"""What Google's servers can do wrong: be busy, hang, and send what nobody asked for. Over the wire, with the unmodified SDK."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud.container_v1.types import Fleet

from meshinstall.errors import ClusterError, UnreachableError
from testbed.clouds.gke_project import NAME, cluster
from testbed.clouds.gke_server import Answer
from tests.clouds.gke_world import BRIEF, HASTY, MEMBERSHIP, PLENTY, World, caught, inhabit, world


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A Google, and this process as the caller with a service account's key."""
    with world(tmp_path) as found:
        inhabit(found, monkeypatch, found.be("key"))
        found.patience = BRIEF
        yield found


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_google_is_asked_again_and_that_is_said(google: World, status: int) -> None:
    said: list[str] = []
    google.patience = PLENTY
    google.google.fault("container", Answer(status, b'{"error": {"message": "later"}}'), 2)
    assert google.provider(said).describe().name == NAME
    assert google.google.count("container.googleapis.com") == 3
    assert len(said) == 2
    assert "trying again" in said[0]


def test_a_google_that_stays_busy_is_given_up(google: World) -> None:
    google.google.fault("container", Answer(503, b"{}"), 10_000)
    started = time.monotonic()
    error = caught(google.provider())
    assert isinstance(error, UnreachableError)
    assert "container.clusters.get" in error.message
    assert time.monotonic() - started < HASTY.call + 5


HOSTILE = {
    "html": Answer(200, b"<html>Sign in</html>", "text/html"),
    "truncated": Answer(200, b'{"name": "sh'),
    "wrong types": Answer(200, b'{"name": ["shop"], "status": {"a": 1}}'),
    "no object": Answer(200, b'["shop"]'),
    "deep": Answer(200, b'{"a":' * 20_000),
    "100 MB": Answer(200, b" " * 1024**2, times=100),
    "less than claimed": Answer(200, b"{", claimed=500),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("part", ["container.googleapis.com", "oauth2.googleapis.com"])
def test_a_hostile_answer_is_an_error_and_no_traceback(google: World, kind: str, part: str) -> None:
    google.google.fault(part, HOSTILE[kind], 10_000)
    error = caught(google.provider())
    assert isinstance(error, ClusterError)
    assert len(error.message) < 600
    assert "\x1b" not in error.message


@pytest.mark.parametrize("part", ["container.googleapis.com", "oauth2.googleapis.com"])
def test_what_does_not_end_is_not_read_to_its_end(google: World, part: str) -> None:
    google.google.fault(part, HOSTILE["100 MB"], 10_000)
    assert "more than 16 MiB" in caught(google.provider()).message


def test_an_error_page_moves_no_cursor(google: World) -> None:
    google.google.fault("container", Answer(403, json.dumps({"error": {"code": 403, "message": "no\x1b[2J\nway" + "x" * 9999}}).encode()))
    error = caught(google.provider())
    assert "\x1b" not in error.message
    assert len(error.message) < 600


@pytest.mark.parametrize("part", ["container.googleapis.com", "oauth2.googleapis.com"])
def test_a_hanging_google_has_a_deadline(google: World, part: str) -> None:
    google.patience = HASTY
    google.google.fault(part, Answer(hang=True), 10_000)
    started = time.monotonic()
    assert isinstance(caught(google.provider()), UnreachableError)
    assert time.monotonic() - started < 15


def test_an_unknown_certificate_is_not_trusted(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    error = caught(google.provider())
    assert "CERTIFICATE_VERIFY_FAILED" in error.message
    assert google.google.asked == []


def test_a_hostile_answer_to_preflight_stops_nothing(google: World) -> None:
    google.project.clusters[:] = [cluster(fleet=Fleet(membership=MEMBERSHIP))]
    google.google.fault("gkehub", Answer(200, b'{"membershipSpecs": ["x"]}'), 10_000)
    google.google.fault("serverConfig", Answer(200, b"<html>"), 10_000)
    provider = google.provider()
    found = provider.inspect(provider.describe())
    assert sorted(found.unread) == ["whether the fleet manages a mesh here", "which versions GKE offers"]
