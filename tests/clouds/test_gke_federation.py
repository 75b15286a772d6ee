"""A CI job without a secret: its own token for one of Google's, by the unmodified library (workload identity federation)."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshinstall.errors import ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError
from testbed.clouds.gke_federation import file_of, principal
from testbed.clouds.gke_identity import EMAIL, PLATFORM, Account
from testbed.clouds.gke_project import NAME, PROJECT
from testbed.clouds.gke_server import Answer
from tests.clouds.gke_world import HASTY, World, inhabit, world

JOB = "repo:shop/mesh:ref:refs/heads/main"


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A Google that lets the job in, and this process as the job."""
    with world(tmp_path) as found:
        inhabit(found, monkeypatch, {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "job.json")})
        found.google.pool.subjects.add(JOB)
        found.google.issuer.accounts[principal(JOB)] = Account(principal(JOB), "", {PROJECT: set(found.caller.roles[PROJECT])})
        start(found)
        yield found


def start(google: World, token: str = "", impersonated: str = "") -> None:
    """Begin a job with its token in a file, as the CI system leaves it."""
    (google.folder / "token").write_text(token or google.google.pool.job(JOB))
    (google.folder / "job.json").write_text(json.dumps(file_of(str(google.folder / "token"), impersonated)))


def user(google: World, token: str) -> str:
    """Whom the API server takes the owner of a token for."""
    return str(google.google.issuer.review(token)["user"]["username"])


def test_a_job_is_itself(google: World) -> None:
    credential = google.provider().credential()
    assert user(google, credential.token) == principal(JOB)
    assert {PLATFORM, EMAIL} <= google.google.issuer.tokens[credential.token].scopes
    assert google.provider().describe().name == NAME


def test_a_job_acts_as_a_service_account(google: World) -> None:
    start(google, impersonated=google.deputy.email)
    with pytest.raises(ForbiddenError, match=r"iam\.serviceAccounts\.getAccessToken is missing"):
        google.provider().credential()
    google.google.issuer.accounts[principal(JOB)].acts_as.add(google.deputy.email)
    assert user(google, google.provider().credential().token) == google.deputy.email


def test_each_renewal_brings_the_jobs_token_of_that_moment(google: World) -> None:
    provider = google.provider()
    first = provider.credential().token
    start(google, google.google.pool.job(JOB, life=-600))
    with pytest.raises(UnauthorizedError):
        provider.credential()
    start(google)
    assert provider.credential().token != first


# The token that a job brings, and the code that Google answers.
REFUSED: dict[str, tuple[Callable[[World], str], str]] = {
    "expired": (lambda it: it.google.pool.job(JOB, life=-600), "invalid_grant"),
    "another-audience": (lambda it: it.google.pool.job(JOB, audience="x"), "invalid_grant"),
    "another-issuer": (lambda it: it.google.pool.job(JOB, issuer="x"), "invalid_grant"),
    "another-branch": (lambda it: it.google.pool.job(f"{JOB}-2"), "unauthorized_client"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_token_that_google_refuses_is_told_with_where_to_look(google: World, case: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token, code = REFUSED[case]
    start(google, token(google))
    for ask in (google.provider().credential, google.provider().describe):
        with pytest.raises(UnauthorizedError) as caught:
            ask()
        assert f"the job's own token ({code})" in caught.value.message
        assert "attribute condition" in caught.value.hint
    signature = (google.folder / "token").read_text().rpartition(".")[2]
    assert signature not in caplog.text + str(caught.value)


def test_a_token_file_that_is_missing_is_named(google: World) -> None:
    (google.folder / "token").unlink()
    with pytest.raises(UnauthorizedError, match=r"the job's own token file is missing: .*/token"):
        google.provider().credential()


def test_a_token_service_that_does_not_answer_is_unreachable(google: World) -> None:
    google.patience = HASTY
    google.google.fault("sts.googleapis.com", Answer(hang=True), 10)
    with pytest.raises(UnreachableError, match="Google's token service does not answer"):
        google.provider().credential()


def test_a_page_in_the_place_of_an_answer_is_an_error_and_no_traceback(google: World) -> None:
    google.google.fault("sts.googleapis.com", Answer(200, b"<html>log in</html>", "text/html"), 10)
    with pytest.raises(MeshinstallError):
        google.provider().credential()
