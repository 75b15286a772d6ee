"""Google's refusals, over the wire: what each means, whom to ask, and never a prompt, a traceback or advice that cannot help."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from meshinstall.adapters.cloud.refusals import find
from meshinstall.adapters.gke.refusals import TABLE
from meshinstall.errors import ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError, UsageError
from testbed.clouds.gke_federation import file_of
from testbed.clouds.gke_project import LOCATION, NAME, PROJECT
from testbed.clouds.gke_server import Answer
from tests.clouds.gke_world import HASTY, World, caught, inhabit, world

ROLE = "docs/clouds/gke/role.yaml"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Google for all: nothing here changes what is in it."""
    with world(tmp_path_factory.mktemp("google")) as found:
        yield found


@pytest.fixture
def google(running: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """That Google without any fault yet, and this process as the caller with a service account's key."""
    running.google.faults.clear()
    running.google.asked.clear()
    inhabit(running, monkeypatch, running.be("key"))
    return replace(running, folder=tmp_path)


def answer(status: int, message: str, reason: str = "", **metadata: str) -> Answer:
    """An error of an API."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata}
    error: dict[str, Any] = {"code": status, "message": message, "status": "PERMISSION_DENIED"}
    return Answer(status, json.dumps({"error": {**error, **({"details": [info]} if reason else {})}}).encode())


VPC = "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: "
# What an API answers: the class of our error, words of the message, and words of the hint.
API: dict[str, tuple[Answer, type[MeshinstallError], str, str]] = {
    "perimeter": (
        answer(403, f"{VPC}abc-1", "SECURITY_POLICY_VIOLATED", uid="abc-1"),
        ForbiddenError,
        "abc-1",
        "administrators of the perim",
    ),
    "perimeter without a reason": (answer(403, f"{VPC}abc-2"), ForbiddenError, "VPC Service Controls", "unique identifier"),
    "perimeter, cut off": (
        answer(403, f"{'x' * 400} {VPC}abc-3", "SECURITY_POLICY_VIOLATED", uid="abc-3"),
        ForbiddenError,
        "(unique identifier abc-3)",
        "ingress rule",
    ),
    "organisation policy": (
        answer(403, "Request is disallowed by organization's constraints/gcp.restrictServiceUsage constraint for 'projects/1'."),
        ForbiddenError,
        "an organisation policy refuses it",
        "gcloud org-policies describe",
    ),
    "location policy": (answer(403, "no", "LOCATION_POLICY_VIOLATED"), ForbiddenError, "organisation policy", "constraint"),
    "deny policy": (
        answer(403, "Access denied by an IAM deny policy", "IAM_PERMISSION_DENIED", permission="container.clusters.get"),
        ForbiddenError,
        "deny policy takes the permission away",
        "denypolicies",
    ),
    "condition": (
        answer(403, "Required permission", "IAM_PERMISSION_DENIED", permission="container.clusters.get"),
        ForbiddenError,
        "Google does not allow container.clusters.get",
        "policy-troubleshoot iam",
    ),
    "another permission": (
        answer(403, "Permission denied", "IAM_PERMISSION_DENIED", permission="container.operations.get"),
        ForbiddenError,
        "container.operations.get is missing",
        "give the caller container.operations.get",
    ),
    "billing": (
        answer(403, "no", "BILLING_DISABLED", consumer="projects/42"),
        ForbiddenError,
        "billing is off for the project 42",
        "link 42",
    ),
    "deleted": (answer(403, "no", "CONSUMER_INVALID", consumer="projects/42"), ForbiddenError, "does not exist", "describe 42"),
    "suspended": (
        answer(403, "no", "CONSUMER_SUSPENDED", consumer="projects/42"),
        ForbiddenError,
        "has suspended the project 42",
        "appeal",
    ),
    "rate": (
        answer(403, "slow", "RATE_LIMIT_EXCEEDED", consumer="projects/42"),
        UnreachableError,
        "quota of the project 42",
        "wait a minute",
    ),
    "scopes": (
        answer(403, "Request had insufficient authentication scopes.", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        UnauthorizedError,
        "lacks the scope cloud-platform",
        "--scopes=cloud-platform",
    ),
    "account": (answer(401, "no", "ACCOUNT_STATE_INVALID"), UnauthorizedError, "disabled or deleted", f"enable deployer@{PROJECT}"),
    "quota project": (
        answer(403, "Caller does not have required permission to use project pays. Grant the caller", consumer="projects/pays"),
        ForbiddenError,
        "serviceusage.services.use",
        "roles/serviceusage.serviceUsageConsumer",
    ),
}


@pytest.mark.parametrize("case", API)
def test_a_refusal_of_an_api_says_what_it_means_and_whom_to_ask(google: World, case: str) -> None:
    said, kind, message, hint = API[case]
    google.google.fault("container", said, 50)
    error = caught(google.provider())
    assert isinstance(error, kind)
    assert message in error.message
    assert hint in error.hint
    assert "https://" in error.hint
    if case not in {"condition", "another permission"}:
        assert ROLE not in error.hint


def test_a_name_that_is_not_one_gets_into_no_command(google: World) -> None:
    google.google.fault("container", answer(403, "off", "SERVICE_DISABLED", service="x; rm -rf /", consumer="projects/$(reboot)"), 50)
    error = caught(google.provider())
    assert "rm -rf" not in error.hint
    assert "reboot" not in error.hint


def test_an_answer_in_the_older_shape_is_read_too(google: World) -> None:
    body = {"error": {"code": 403, "message": "later", "errors": [{"reason": "rateLimitExceeded", "domain": "usageLimits"}]}}
    google.google.fault("container", Answer(403, json.dumps(body).encode()), 50)
    assert isinstance(caught(google.provider()), UnreachableError)


def token(**said: str) -> Answer:
    return Answer(400, json.dumps(said).encode())


# What the token service answers to a login: words of the message, and words of the hint.
TOKEN: dict[str, tuple[Answer, str, str]] = {
    "reauthentication": (
        token(error="invalid_grant", error_subtype="invalid_rapt", error_description="reauth related error (invalid_rapt)"),
        "reauthentication",
        "gcloud auth application-default login",
    ),
    "reauthentication, first": (
        token(error="invalid_grant", error_subtype="rapt_required", error_description="reauth related error (rapt_required)"),
        "reauthentication",
        "workload identity federation",
    ),
    "context-aware access": (token(error="access_denied", error_description="Account restricted"), "Context-Aware Access", "devices"),
    "application": (token(error="admin_policy_enforced", error_description="x"), "does not allow this application", "Admin console"),
    "revoked": (token(error="invalid_grant", error_description="Token has been expired or revoked."), "expired or was revoked", "login"),
    "client": (token(error="invalid_client", error_description="x"), "(invalid_client)", "login"),
}


@pytest.mark.parametrize("case", TOKEN)
def test_a_refusal_of_a_login_is_one_line_with_what_helps(google: World, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    for name, value in google.be("login").items():
        monkeypatch.setenv(name, value)
    said, message, hint = TOKEN[case]
    google.google.fault("oauth2", said, 50)
    error = caught(google.provider())
    assert isinstance(error, UnauthorizedError)
    assert message in error.message
    assert hint in error.hint


def test_a_key_that_is_disabled_or_too_old_names_both_reasons(google: World) -> None:
    google.google.fault("oauth2", token(error="invalid_grant", error_description="Invalid JWT Signature."), 50)
    error = caught(google.provider())
    assert "key is disabled or deleted" in error.message
    assert f"--iam-account=deployer@{PROJECT}" in error.hint
    assert "timedatectl" in error.hint


def test_nobody_is_asked_for_a_proof_at_a_terminal_either(google: World) -> None:
    google.google.fault("oauth2", TOKEN["reauthentication"][0], 50)
    ours, theirs = pty.openpty()
    env = {"PATH": os.environ["PATH"], "HOME": str(google.folder), **google.env, **google.be("login")}
    argv = [sys.executable, "-P", "-m", "meshinstall", "credential", "--cloud", "gke", "--cluster", NAME]
    argv += ["--project", PROJECT, "--location", LOCATION]
    try:
        done = subprocess.run(argv, env=env, stdin=theirs, capture_output=True, text=True, check=False, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "gcloud auth application-default login" in done.stderr
    assert google.google.count("reauth.googleapis.com") == 0


# What a job's token is refused with.
JOB = {
    "condition": ("unauthorized_client", "The given credential is rejected by the attribute condition.", "providers describe"),
    "pool": ("invalid_target", "The target service indicated by the audience is disabled.", "--show-deleted"),
    "expired": ("invalid_grant", "ID Token issued at 0 is stale to sign-in.", "expiry"),
}


@pytest.mark.parametrize("case", JOB)
def test_a_job_is_told_which_part_of_its_pool_refuses(google: World, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    (google.folder / "token").write_text("x.y.z")
    (google.folder / "job.json").write_text(json.dumps(file_of(str(google.folder / "token"))))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.folder / "job.json"))
    code, described, hint = JOB[case]
    google.google.fault("sts", token(error=code, error_description=described), 50)
    error = caught(google.provider())
    assert f"({code})" in error.message
    assert hint in error.hint


def test_a_service_account_that_does_not_exist_is_named(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "gone@p.iam.gserviceaccount.com")
    google.google.fault("iamcredentials", answer(404, "Not found; Gaia id not found for email gone@p.iam.gserviceaccount.com"))
    error = caught(google.provider())
    assert "there is not a service account gone@p.iam.gserviceaccount.com" in error.message


def test_a_perimeter_around_iam_is_told_as_one(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", google.deputy.email)
    google.google.fault("iamcredentials", API["perimeter"][0])
    assert "VPC Service Controls" in caught(google.provider()).message


# Variables that name authorities of one's own.
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_authorities_come_from_a_file_or_a_folder(google: World, monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    bundle = Path(google.env["SSL_CERT_FILE"])
    folder = google.folder / "authorities"
    folder.mkdir()
    (folder / "company.pem").write_text(f"# the company's own, für alle\n{bundle.read_text()}", "latin-1")
    (folder / "README").write_text("nothing")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv(name, str(bundle if kind == "file" else folder))
    assert google.provider().describe().name == NAME


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["missing", "empty folder"])
def test_authorities_that_cannot_be_read_are_named_with_their_variable(
    google: World, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    where = google.folder / "nothing"
    if kind != "missing":
        where.mkdir()
    monkeypatch.setenv(name, str(where))
    error = caught(google.provider())
    assert isinstance(error, UsageError)
    assert error.message.startswith(f"{name} names certificates that cannot be read: {where}")


def test_a_certificate_that_is_not_trusted_names_what_is_trusted(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = google.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    error = caught(google.provider())
    assert "CERTIFICATE_VERIFY_FAILED" in error.message
    assert f"SSL_CERT_FILE={file}" in error.hint
    assert "REQUESTS_CA_BUNDLE" in error.hint


def key_of(google: World, monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    """Be the caller by a key in which something is different."""
    file = google.folder / "elsewhere.json"
    file.write_text(json.dumps({**google.caller.key_file(PROJECT), **changed}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))


def test_a_partners_cloud_is_asked_under_its_own_names(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key_of(google, monkeypatch, universe_domain="partner.example")
    google.patience = HASTY
    error = caught(google.provider())
    assert isinstance(error, UnreachableError)
    assert "container.partner.example" in error.message
    assert google.google.asked == []


# The credentials' universe domain, the variable's, and the sentence.
UNIVERSES: dict[str, tuple[Mapping[str, str], str, str]] = {
    "two": ({}, "partner.example", "the credentials are for googleapis.com, and the universe domain is partner.example"),
    "no host": ({"universe_domain": "evil.example/x?"}, "", "is not a valid universe domain"),
    "a user": (
        {"universe_domain": "partner.example", "type": "authorized_user"},
        "",
        "a Google account's login works at googleapis.com only",
    ),
}


@pytest.mark.parametrize("case", UNIVERSES)
def test_a_universe_domain_that_cannot_be_used_is_refused(google: World, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    changed, variable, sentence = UNIVERSES[case]
    key_of(google, monkeypatch, **changed)
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", variable)
    error = caught(google.provider())
    assert isinstance(error, UsageError)
    assert sentence in error.message
    assert google.google.asked == []


def test_every_reason_has_a_meaning_an_advice_and_a_page() -> None:
    for kind in TABLE:
        assert kind.means
        assert kind.do
        assert kind.page.startswith("https://")
        assert "|" not in f"{kind.means}{kind.do}{kind.says}"
        # No earlier row takes what this one is for.
        assert find(TABLE, kind.codes[0], kind.says) is kind
