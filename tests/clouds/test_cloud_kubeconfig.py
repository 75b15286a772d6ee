"""Kubeconfigs for other people's tools: a command that makes the same choice in any shell, no secret, and a private copy for helm."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from meshinstall.adapters.cloud.exec_kubeconfig import document, write_private
from meshinstall.adapters.kube.kubeconfig import load
from meshinstall.model.cluster import Chosen, Endpoint, EndpointKind
from tests.clouds.fake_provider import REF, SHOP


def test_a_kubeconfig_names_a_command_and_holds_no_secret() -> None:
    written = json.loads(document(SHOP, REF, Chosen()))
    (user,), (cluster,) = written["users"], written["clusters"]
    plugin = user["user"].pop("exec")
    assert user["user"] == {}
    assert plugin["apiVersion"] == "client.authentication.k8s.io/v1"
    assert plugin["interactiveMode"] == "IfAvailable"
    assert plugin["provideClusterInfo"] is False
    assert Path(plugin["command"]).is_absolute()
    assert plugin["args"] == [
        "-P", "-m", "meshinstall", "credential", "--cloud=eks", "--cluster=shop",
        "--aws-profile=work", "--region=eu-west-1", "--role-arn=arn:aws:iam::1:role/a",
    ]  # fmt: skip
    assert set(cluster["cluster"]) == {"server", "certificate-authority-data"}
    assert written["current-context"] == "eks_eu-west-1_shop"


def test_to_write_a_kubeconfig_loads_no_client_of_clusters() -> None:
    code = "import sys, meshinstall.adapters.cloud.exec_kubeconfig; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "meshinstall.adapters.cloud.described" in loaded
    assert not {"meshinstall.adapters.kube", "meshinstall.ports", "anyio"} & set(loaded)


def test_a_kubeconfig_makes_the_same_choice_in_any_shell() -> None:
    chosen = Chosen("AWS_PROFILE", {"profile": "night"}, {"AWS_CONFIG_FILE": "/etc/aws", "AWS_CA_BUNDLE": "/etc/ca.pem"})
    plugin = json.loads(document(SHOP, replace(REF, selectors={}), chosen))["users"][0]["user"]["exec"]
    assert plugin["args"][-2:] == ["--aws-profile=night", "--region=eu-west-1"]
    assert json.loads(document(SHOP, REF, chosen))["users"][0]["user"]["extensions"] == [
        {"name": "meshinstall.dev/login", "extension": {"chosenBy": "AWS_PROFILE"}}
    ]
    assert plugin["env"] == [{"name": "AWS_CA_BUNDLE", "value": "/etc/ca.pem"}, {"name": "AWS_CONFIG_FILE", "value": "/etc/aws"}]


def test_our_own_client_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(document(SHOP, REF, Chosen("AWS_PROFILE", variables={"AWS_CONFIG_FILE": "/etc/aws"})))
    found = load(file, "")
    assert found.plugin
    assert found.plugin.env == {"AWS_CONFIG_FILE": "/etc/aws"}


def test_a_publicly_trusted_endpoint_gets_no_authority() -> None:
    trusted = replace(SHOP, endpoint=Endpoint("https://a.gke.goog", None, EndpointKind.DNS))
    assert json.loads(document(trusted, REF, Chosen()))["clusters"][0]["cluster"] == {"server": "https://a.gke.goog"}


def test_the_private_copy_is_ours_alone_and_goes_with_the_process(tmp_path: Path) -> None:
    code = (
        "import os; from pathlib import Path; from meshinstall.adapters.cloud.exec_kubeconfig import write_private; "
        "path = write_private('x'); print(path, oct(path.stat().st_mode), oct(path.parent.stat().st_mode))"
    )
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    path, file, folder = done.stdout.split()
    assert path.startswith(str(tmp_path))
    assert stat.S_IMODE(int(file, 8)) == 0o600
    assert stat.S_IMODE(int(folder, 8)) == 0o700
    assert not list(tmp_path.iterdir())


def test_without_a_runtime_folder_the_copy_goes_where_temporary_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert write_private("x").is_relative_to(tmp_path)
