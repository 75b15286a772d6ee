"""Google logins that fail on this machine already: each names what could not be read, and is never a traceback or a wrong party."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from meshinstall.errors import ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError
from testbed.clouds.gke_federation import file_of
from testbed.clouds.gke_server import Answer
from tests.clouds.gke_world import HASTY, World, caught, inhabit, world

AWS = "urn:ietf:params:aws:token-type:aws4_request"
VERIFY = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
WORKFORCE = {
    "type": "external_account_authorized_user",
    "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/q",
    "refresh_token": "planted",
    "token_url": "https://sts.googleapis.com/v1/oauthtoken",
    "client_id": "x",
    "client_secret": "planted",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Google for all: nothing here changes what is in it."""
    with world(tmp_path_factory.mktemp("google")) as found:
        yield found


@pytest.fixture
def google(running: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """That Google, and a folder of gcloud's without any login."""
    running.google.faults.clear()
    running.google.asked.clear()
    inhabit(running, monkeypatch, {"CLOUDSDK_CONFIG": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": ""})
    return replace(running, folder=tmp_path)


def job(**changed: Any) -> dict[str, Any]:
    return {**file_of("/nowhere/token"), **changed}


def program(command: str) -> dict[str, Any]:
    return job(credential_source={"executable": {"command": command, "timeout_millis": 5000}})


@dataclass(frozen=True, slots=True)
class Case:
    """A file of credentials and variables; what is said, and what the hint has."""

    kind: type[MeshinstallError]
    said: str
    hint: str
    file: Any = None
    variables: Mapping[str, str] = field(default_factory=dict)


ALLOWED = {"GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1"}
CASES = {
    "a program that hangs": Case(UnauthorizedError, "did not answer in time", "credential_source", program("/bin/sleep 60"), ALLOWED),
    "a program that fails": Case(
        UnauthorizedError,
        "the job's own token cannot be read: Executable exited with non-zero return code 1",
        "credential_source",
        program("/bin/sh -c 'echo planted; exit 1'"),
        ALLOWED,
    ),
    "a machine that is not of AWS": Case(
        UnauthorizedError,
        "the job's own token cannot be read: Unable to ",
        "credential_source",
        job(subject_token_type=AWS, credential_source={"environment_id": "aws1", "regional_cred_verification_url": VERIFY}),
    ),
    "a service that is away": Case(
        UnreachableError,
        "the service of the job's own token does not answer: http://127.0.0.1:9/x",
        "credential_source",
        job(credential_source={"url": "http://127.0.0.1:9/x"}),
    ),
    "a person of a workforce": Case(UnauthorizedError, "the login of the workforce", "--login-config=FILE", WORKFORCE),
    "a file that is not JSON": Case(UnauthorizedError, "is not a valid json file.", "log in", "planted"),
    "a list": Case(UnauthorizedError, "file.json cannot be used (AttributeError)", "log in", []),
    "gcloud's own token": Case(
        UnauthorizedError,
        "no Google credentials",
        "CLOUDSDK_AUTH_ACCESS_TOKEN is read by gcloud alone",
        variables={"CLOUDSDK_AUTH_ACCESS_TOKEN": "planted"},
    ),
    "gcloud's own file": Case(
        UnauthorizedError,
        "no Google credentials",
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE is read by gcloud alone",
        variables={"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": "/nowhere"},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_login_that_fails_names_what_could_not_be_read(google: World, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in case.variables.items():
        monkeypatch.setenv(name, value)
    if case.file is not None:
        file = google.folder / "file.json"
        file.write_text(case.file if isinstance(case.file, str) else json.dumps(case.file))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    google.patience = HASTY
    error = caught(google.provider())
    assert isinstance(error, case.kind)
    assert case.said in error.message
    assert case.hint in error.hint
    assert "planted" not in error.in_one_line()
    assert "Error(" not in error.message


def refusal(status: int, message: str, reason: str = "", **metadata: str) -> Answer:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata}
    return Answer(status, json.dumps({"error": {"code": status, "message": message, "details": [info] if reason else []}}).encode())


def by_key(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in google.be("key").items():
        monkeypatch.setenv(name, value)


def test_a_quota_that_stays_used_up_is_told_as_one_in_each_try_and_at_the_end(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    by_key(google, monkeypatch)
    google.patience = HASTY
    google.google.fault("container", refusal(429, "Quota exceeded for 'Read requests'.", "RATE_LIMIT_EXCEEDED", consumer="projects/42"), 99)
    said: list[str] = []
    error = caught(google.provider(said))
    assert isinstance(error, UnreachableError)
    assert "a quota of the project 42 is used up (RATE_LIMIT_EXCEEDED): Quota exceeded for 'Read requests'." in error.message
    assert "https://cloud.google.com/docs/quotas" in error.hint
    assert set(said) == {"Google did not answer: 429: Quota exceeded for 'Read requests'.; trying again"}


def test_a_page_of_a_firewall_is_no_missing_permission(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    by_key(google, monkeypatch)
    google.google.fault("container", Answer(403, b"<html>no</html>"), 9)
    error = caught(google.provider())
    assert isinstance(error, ForbiddenError)
    assert "was refused with a page" in error.message
    assert "role.yaml" not in error.hint


def test_an_api_for_impersonation_that_is_off_is_told_with_the_project_that_google_names(
    google: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_key(google, monkeypatch)
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", google.deputy.email)
    service = "iamcredentials.googleapis.com"
    google.google.fault("iamcredentials", refusal(403, "It is disabled.", "SERVICE_DISABLED", service=service, consumer="projects/42"), 9)
    error = caught(google.provider())
    assert error.message == f"{service} is not enabled in project 42"
    assert error.hint == f"gcloud services enable {service} --project=42"
