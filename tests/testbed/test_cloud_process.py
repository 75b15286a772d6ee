"""The fake clouds as a person of the testbed meets them: words, variables and what a cluster tells of its cloud."""

import subprocess
from pathlib import Path

import pytest

from testbed import shell
from testbed.cli import cloud_lines
from testbed.clouds.process.kind import Address, Running, folder_of, foreign, write_addresses
from testbed.clouds.process.kinds import kind
from testbed.cluster import Cluster
from testbed.spec import Cloud, Nodes, Spec

REPOSITORY = Path(__file__).parents[2]
# What a person may have of another account, or of a proxy on the way to it.
OTHERS = {
    Cloud.EKS: {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL_STS", "AWS_CA_BUNDLE"},
    Cloud.AKS: {"AZURE_CLIENT_SECRET", "IDENTITY_ENDPOINT", "https_proxy", "NO_PROXY"},
    Cloud.GKE: {"GOOGLE_CLOUD_PROJECT", "CLOUDSDK_AUTH_ACCESS_TOKEN", "GCE_METADATA_ROOT", "all_proxy", "REQUESTS_CA_BUNDLE"},
}


def clouded(state: Path, cloud: Cloud | None) -> Cluster:
    return Cluster(Spec("dev", Nodes.REAL, 7, str(state), {}, cloud=cloud))


@pytest.mark.parametrize("cloud", list(Cloud))
def test_what_leads_to_another_account_is_taken_away_and_nothing_else(cloud: Cloud) -> None:
    env = dict.fromkeys([*OTHERS[cloud], "HOME", "PATH", "LANG"], "x")
    assert set(foreign(kind(cloud), env)) == OTHERS[cloud]


@pytest.mark.parametrize("cloud", list(Cloud))
def test_a_login_names_files_of_the_cluster_and_its_own_address(tmp_path: Path, cloud: Cloud) -> None:
    of = clouded(tmp_path, cloud).spec
    login = kind(cloud).login(of, folder_of(tmp_path), {})
    files = [value for value in login.values() if value.startswith("/")]
    assert files
    assert all(Path(value).is_relative_to(tmp_path) for value in files)
    assert all(of.address in value for value in login.values() if "://" in value)


def test_the_fake_aws_is_reached_past_the_proxy_that_a_machine_has(tmp_path: Path) -> None:
    login = kind(Cloud.EKS).login(clouded(tmp_path, Cloud.EKS).spec, tmp_path, {"no_proxy": "example.org"})
    assert login["NO_PROXY"] == "example.org,10.210.7.2"


def test_a_cluster_without_a_cloud_leaves_all_variables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    assert shell.foreign(clouded(tmp_path, None)) == []
    assert "AWS_PROFILE" in shell.foreign(clouded(tmp_path, Cloud.EKS))


def test_a_cluster_tells_that_its_cloud_is_fake_and_where_it_listens(tmp_path: Path) -> None:
    found = clouded(tmp_path, Cloud.GKE)
    folder_of(tmp_path).mkdir()
    assert cloud_lines(found)[1:] == ["    it has not answered yet"]
    write_addresses(tmp_path, Running((Address("http://10.210.7.2:4566", "a proxy"),), "User", "somebody"))
    first, where = cloud_lines(found)
    assert first.startswith("  FAKE gke: ")
    assert where.split(maxsplit=1) == ["http://10.210.7.2:4566", "a proxy"]
    assert cloud_lines(clouded(tmp_path, None)) == []


@pytest.mark.parametrize("words", [("azure",), ("eks", "now"), ("eks", "--account", "plain"), ("",)])
def test_a_demo_that_there_is_not_is_refused_with_a_sentence(words: tuple[str, ...]) -> None:
    done = subprocess.run([REPOSITORY / "scripts/demo", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith("there are: scripts/demo, and scripts/demo eks, aks or gke, each also with --account awkward")
