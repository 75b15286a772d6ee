"""A project as a large company has it: quota projects, chains of service accounts, perimeters, and a kubeconfig for any shell."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshinstall.adapters.cloud.exec_kubeconfig import document
from meshinstall.adapters.gke.provider import GkeProvider
from meshinstall.config.reference import reference
from meshinstall.errors import ForbiddenError, UsageError
from meshinstall.model.cluster import Caller, Cloud, ClusterRef
from testbed.clouds import gke_awkward as company
from testbed.clouds.gke_apis import USE, Project
from testbed.clouds.gke_identity import Account
from testbed.clouds.gke_project import LOCATION, NAME, PROJECT
from testbed.clouds.gke_server import Answer
from tests.clouds.gke_world import PLENTY, World, caught, inhabit

IMPERSONATE = "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"
CHAIN = f"{company.HOP},{company.TARGET}"
ALL = ClusterRef(Cloud.GKE)


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The company's Google, and this process as its engineer, whose gcloud names the chain."""
    with company.project(tmp_path).running() as fake:
        company.login(fake, tmp_path)
        accounts = fake.issuer.accounts
        found = World(fake, accounts[company.TARGET], accounts[company.HOP], {**fake.environment(), **company.variables()}, tmp_path)
        inhabit(found, monkeypatch, {})
        yield found


def whose(google: World, token: str) -> str:
    return str(google.google.issuer.review(token)["user"]["username"])


def engineer(google: World) -> Account:
    return google.google.issuer.accounts[company.ENGINEER]


def quotas(google: World, *hosts: str) -> set[str]:
    """What the requests to these hosts were counted for."""
    return {one.quota for one in google.google.asked if one.host.startswith(hosts)}


def plugin(written: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and variables of the exec entry."""
    found = json.loads(written)["users"][0]["user"]["exec"]
    return found["args"], {each["name"]: each["value"] for each in found["env"] or ()}


def test_a_chain_ends_at_its_last_account_and_its_calls_are_counted_for_the_logins_quota_project(google: World) -> None:
    provider = google.provider()
    assert whose(google, provider.credential().token) == company.TARGET
    provider.describe()
    assert quotas(google, "iamcredentials", "container") == {company.TOOLS}


@pytest.mark.parametrize("way", ["option", "file"])
def test_a_chain_is_named_by_an_option_or_by_gclouds_configuration(google: World, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.delenv(IMPERSONATE)
    if way == "file":
        gclouds = google.folder / "gcloud"
        (gclouds / "configurations").mkdir()
        (gclouds / "active_config").write_text("work\n")
        (gclouds / "configurations/config_work").write_text(f"[core]\nproject = x\n[auth]\nimpersonate_service_account = {CHAIN}\n")
    provider = google.provider(impersonate_service_account=CHAIN if way == "option" else "")
    assert whose(google, provider.credential().token) == company.TARGET
    assert provider.chosen().selectors["impersonate_service_account"] == CHAIN


def test_an_option_wins_over_the_variable(google: World) -> None:
    provider = google.provider(impersonate_service_account=company.HOP)
    assert whose(google, provider.credential().token) == company.HOP


@pytest.mark.parametrize("variable", ["GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_BILLING_QUOTA_PROJECT", ""])
def test_a_quota_project_of_an_option_or_variable_wins_over_the_logins(
    google: World, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for account in google.google.issuer.accounts.values():
        account.roles.setdefault("other", set()).add(USE)
    google.google.apis.projects["other"] = Project()
    if variable:
        monkeypatch.setenv(variable, "other")
    provider = google.provider(quota_project="" if variable else "other")
    provider.describe()
    assert quotas(google, "iamcredentials", "container") == {"other"}
    assert provider.chosen().selectors["quota_project"] == "other"


# Who may not act as whom any more, and which of the two is named.
REFUSED = [(company.ENGINEER, company.HOP), (company.HOP, company.TARGET)]


@pytest.mark.parametrize(("who", "whom"), REFUSED)
def test_the_account_of_a_chain_that_refuses_is_named(google: World, who: str, whom: str) -> None:
    google.google.issuer.accounts[who].acts_as.clear()
    error = caught(google.provider())
    assert isinstance(error, ForbiddenError)
    assert f"may not impersonate {whom}" in error.message
    assert f"add-iam-policy-binding {whom}" in error.hint
    if who == company.HOP:
        assert f"--member=serviceAccount:{who}" in error.hint


def test_a_longer_chain_is_tried_account_by_account(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    last = f"last@{PROJECT}.iam.gserviceaccount.com"
    google.google.issuer.accounts[last] = Account(last, "9")
    monkeypatch.setenv(IMPERSONATE, f"{CHAIN},{last}")
    error = caught(google.provider())
    assert f"{company.TARGET} may not impersonate {last} (account 3 of 3 in the chain)" in error.message


@pytest.mark.parametrize("bad", ["../../x", "a b@c", "mesh@p.iam.gserviceaccount.com,?", "me"])
def test_what_does_not_name_an_account_is_refused_before_google_is_asked(google: World, bad: str) -> None:
    error = caught(google.provider(impersonate_service_account=bad))
    assert isinstance(error, UsageError)
    assert "is not the e-mail address of a service account" in error.message
    assert google.google.asked == []


def test_the_caller_is_named_with_what_chose_it(google: World) -> None:
    listing = GkeProvider(ALL, patience=PLENTY).discover()
    assert listing.caller
    assert listing.caller.name == company.TARGET
    for word in (IMPERSONATE, company.HOP, "gcloud auth application-default login", f"quota project {company.TOOLS}"):
        assert word in listing.caller.chosen_by
    provider = google.provider()
    assert provider.inspect(provider.describe()).caller == listing.caller
    assert google.google.count("tokeninfo") == 0


def test_who_a_login_is_of_is_asked_once_and_not_in_an_address(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IMPERSONATE, "")
    engineer(google).roles[PROJECT] = {"container.clusters.get", "container.clusters.list"}
    provider = google.provider()
    found = provider.inspect(provider.describe())
    provider.inspect(found)
    by = f"gcloud auth application-default login, a user's login; quota project {company.TOOLS}"
    assert found.caller == Caller(company.ENGINEER, by)
    (asked,) = [one for one in google.google.asked if "tokeninfo" in one.path]
    assert asked.path == "/tokeninfo"


@pytest.mark.parametrize("answer", [b'{"email": "a@b\\u001b[2J"}', b'{"email": ["x"]}', b"<html>", b'{"email": ""}'])
def test_a_hostile_name_is_not_repeated(google: World, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setenv(IMPERSONATE, "")
    engineer(google).roles[PROJECT] = {"container.clusters.get"}
    google.google.fault("tokeninfo", Answer(200, answer))
    provider = google.provider()
    caller = provider.inspect(provider.describe()).caller
    assert caller
    assert caller.name == "an account whose e-mail address Google did not return"


def test_a_kubeconfig_is_of_the_same_caller_in_another_shell(google: World, tmp_path: Path) -> None:
    provider = google.provider()
    args, env = plugin(document(provider.describe(), google.ref(), provider.chosen()))
    assert f"--impersonate-service-account={CHAIN}" in args
    assert f"--quota-project={company.TOOLS}" in args
    assert env["CLOUDSDK_CONFIG"] == str(google.folder / "gcloud")
    # Another shell: another login, which is nobody's here, and somebody else's variables.
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**engineer(google).login_file(), "refresh_token": "1//other"}))
    shell = {**google.google.environment(), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "GOOGLE_APPLICATION_CREDENTIALS": str(other)}
    written = json.loads(document(provider.describe(), google.ref(), provider.chosen()))["users"][0]["user"]["exec"]
    done = subprocess.run(
        [written["command"], *args],
        env={**shell, "CLOUDSDK_CONFIG": "/nowhere", IMPERSONATE: "x@y", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert whose(google, json.loads(done.stdout)["status"]["token"]) == company.TARGET


def test_a_kubeconfig_without_impersonation_takes_away_that_of_another_shell(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(IMPERSONATE)
    key = google.folder / "key.json"
    key.write_text(json.dumps(google.caller.key_file(PROJECT)))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    chosen = google.provider().chosen()
    assert chosen.variables == {
        # Whom the plugin trusts is the same in another shell too.
        "SSL_CERT_FILE": google.env["SSL_CERT_FILE"],
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "CLOUDSDK_CONFIG": str(google.folder / "gcloud"),
        IMPERSONATE: "",
    }
    assert chosen.by == "GOOGLE_APPLICATION_CREDENTIALS, a service account's key"


@pytest.mark.usefixtures("google")
def test_a_project_that_a_perimeter_closes_is_told_and_one_without_gke_is_not() -> None:
    listing = GkeProvider(ALL, patience=PLENTY).discover()
    assert [cluster.name for cluster in listing.clusters] == [NAME]
    assert list(listing.failures) == [company.CLOSED]
    assert "VPC Service Controls" in listing.failures[company.CLOSED]
    assert company.PERIMETER in listing.failures[company.CLOSED]


def test_gke_off_in_the_quota_project_is_told_for_each_project_that_was_asked(google: World) -> None:
    google.google.apis.projects[company.TOOLS].off.add("container.googleapis.com")
    listing = GkeProvider(ALL, patience=PLENTY).discover()
    assert listing.clusters == ()
    assert set(listing.failures) == {PROJECT, company.CLOSED, company.EMPTY}
    error = caught(google.provider())
    number = google.google.apis.projects[company.TOOLS].number
    said = f"container.googleapis.com is not enabled in quota project {company.TOOLS} (number {number})"
    assert error.message.startswith(said)
    assert f"gcloud services enable container.googleapis.com --project={company.TOOLS}" in error.hint
    assert all(why.startswith(said) for why in listing.failures.values())


def test_an_api_that_is_off_in_a_third_project_is_told_with_that_project(google: World) -> None:
    body = {"message": "off", "details": [{"reason": "SERVICE_DISABLED", "metadata": {"consumer": "projects/42"}}]}
    for name in google.google.issuer.accounts:
        google.google.issuer.accounts[name].roles.setdefault(company.TOOLS, set()).add("resourcemanager.projects.get")
    google.google.fault("container", Answer(403, json.dumps({"error": body}).encode()))
    error = caught(google.provider())
    assert error.message.startswith("container.googleapis.com is not enabled in project 42, ")
    assert error.hint.startswith("gcloud services enable container.googleapis.com --project=42;")


def test_gke_off_in_the_quota_project_is_told_too_where_projects_may_not_be_looked_up(google: World) -> None:
    google.google.apis.projects[company.TOOLS].off.add("container.googleapis.com")
    google.caller.roles[PROJECT].remove("resourcemanager.projects.get")
    listing = GkeProvider(ClusterRef(Cloud.GKE, selectors={"project": PROJECT}), patience=PLENTY).discover()
    assert f"quota project {company.TOOLS}" in listing.failures[PROJECT]


@pytest.mark.usefixtures("google")
def test_gke_off_in_the_project_that_is_asked_stays_silent() -> None:
    listing = GkeProvider(ClusterRef(Cloud.GKE, selectors={"project": company.EMPTY}), patience=PLENTY).discover()
    assert (listing.clusters, listing.failures) == ((), {})


def test_projects_that_cannot_be_listed_for_want_of_an_api_are_told_with_the_project(google: World) -> None:
    google.google.apis.projects[company.TOOLS].off.add("cloudresourcemanager.googleapis.com")
    with pytest.raises(UsageError) as error:
        GkeProvider(ALL, patience=PLENTY).discover()
    assert f"cloudresourcemanager.googleapis.com is not enabled in quota project {company.TOOLS}" in error.value.message
    assert "give --project" in error.value.hint


def test_iam_credentials_off_in_the_quota_project_is_told(google: World) -> None:
    google.google.apis.projects[company.TOOLS].off.add("iamcredentials.googleapis.com")
    error = caught(google.provider())
    assert "iamcredentials.googleapis.com is not enabled" in error.message
    assert company.TOOLS in error.message


def test_a_quota_project_that_the_caller_may_not_use_is_told_with_the_role(google: World) -> None:
    google.caller.roles[company.TOOLS].remove(USE)
    error = caught(google.provider())
    assert "serviceusage.services.use" in error.message
    assert f"roles/serviceusage.serviceUsageConsumer in project {company.TOOLS}" in error.hint
    assert "container.clusters.get (docs" not in error.hint


def test_preflight_names_what_refused_and_not_a_permission(google: World) -> None:
    provider = google.provider()
    unread = provider.inspect(provider.describe()).unread
    assert f"quota project {company.TOOLS}" in unread["the firewall rules of the network"].why


def test_a_broken_configuration_of_gcloud_is_told(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (google.folder / "gcloud/configurations").mkdir()
    (google.folder / "gcloud/configurations/config_default").write_text("impersonate = x\n")
    error = caught(google.provider())
    assert isinstance(error, UsageError)
    assert "config_default" in error.message
    monkeypatch.setenv("CLOUDSDK_ACTIVE_CONFIG_NAME", "another")
    assert google.provider().describe().name == NAME


def test_the_company_has_one_cluster_with_its_dns_endpoint_only(google: World) -> None:
    (found,) = google.project.clusters
    assert found.control_plane_endpoints_config.ip_endpoints_config.enabled is False
    assert google.google.apis.projects[company.EMPTY].off == {"container.googleapis.com"}
    assert google.provider().describe().location == LOCATION


def meshinstall(google: World, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A program of its own at a shell of the engineer's."""
    plain = {"PATH": os.environ["PATH"], "HOME": str(google.folder), **google.env, **env}
    return subprocess.run(
        [sys.executable, "-P", "-m", "meshinstall", *argv], env=plain, capture_output=True, text=True, timeout=120, check=False
    )


def test_clusters_begins_with_who_calls_and_an_error_is_no_success(google: World) -> None:
    google.project.clusters.clear()
    done = meshinstall(google, "clusters", "--cloud", "gke")
    assert done.returncode == 1
    assert done.stderr.startswith(f"to gke as {company.TARGET} ({IMPERSONATE} through {company.HOP}")
    assert company.PERIMETER in done.stdout


def test_a_machine_is_named_by_its_service_account(google: World) -> None:
    machine = google.google.issuer.accounts[company.TARGET]
    google.google.issuer.machine = machine
    (google.folder / "gcloud/application_default_credentials.json").unlink()
    done = meshinstall(google, "clusters", "--cloud", "gke", "--project", company.EMPTY, **{IMPERSONATE: ""})
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"to gke as {company.TARGET} (the metadata server)")


def test_the_file_of_an_environment_names_both() -> None:
    ref = reference(Cloud.GKE, {"name": NAME, "impersonateServiceAccount": CHAIN, "quotaProject": company.TOOLS}, Path())
    assert ref.selectors == {"impersonate_service_account": CHAIN, "quota_project": company.TOOLS}


def test_a_federated_identity_of_aws_says_which_secrets_another_shell_needs(google: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = {"type": "external_account", "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request", "audience": "//iam/x"}
    (google.folder / "job.json").write_text(json.dumps(job))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.folder / "job.json"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    chosen = google.provider().chosen()
    assert chosen.secrets == ("AWS_SECRET_ACCESS_KEY",)
    assert chosen.variables["AWS_REGION"] == "eu-west-1"
    assert "planted" not in str(chosen)
