"""In a pod the ServiceAccount counts, where there is no kubeconfig; and a kubeconfig that is a pipe is read once."""

import base64
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
import trustme

from meshinstall.adapters.kube import in_cluster, memory
from meshinstall.adapters.kube.kubeconfig import load
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.kube.tokens import source_of
from meshinstall.errors import UsageError
from tests.unit.adapters.conftest import write_kubeconfig

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """The folder that the kubelet mounts."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("t1\n")
    (folder / "namespace").write_text("jobs\n")
    (folder / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    return folder


def nowhere(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"KUBECONFIG": str(tmp_path / "gone"), **POD, **more}


def test_the_pod_is_taken_where_there_is_no_kubeconfig(account: Path, tmp_path: Path) -> None:
    found = load(None, "", nowhere(tmp_path), account)
    assert (found.context, found.server, found.namespace) == ("in-cluster", "https://10.96.0.1:443", "jobs")
    assert found.authority == (account / "ca.crt").read_bytes()
    tokens = source_of(found)
    assert tokens
    assert tokens.get() == "t1"
    (account / "token").write_text("t2")
    # A server that refuses the old one has it read again at once.
    tokens.discard("t1")
    assert tokens.get() == "t2"


def test_a_token_that_is_being_replaced_serves_on(account: Path, tmp_path: Path) -> None:
    tokens = source_of(load(None, "", nowhere(tmp_path), account))
    assert tokens
    assert tokens.get() == "t1"
    (account / "token").unlink()
    tokens.discard("t1")
    assert tokens.get() == "t1"


@pytest.mark.parametrize("missing", [*POD, "token"])
def test_outside_of_a_pod_the_missing_kubeconfig_is_named(account: Path, tmp_path: Path, missing: str) -> None:
    (account / missing).unlink(missing_ok=True)
    with pytest.raises(UsageError, match=f"no kubeconfig at {tmp_path}/gone"):
        load(None, "", {name: value for name, value in nowhere(tmp_path).items() if name != missing}, account)


def test_what_is_named_is_taken_even_in_a_pod(account: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no kubeconfig at"):
        load(tmp_path / "gone", "", nowhere(tmp_path), account)
    with pytest.raises(UsageError, match="no kubeconfig at"):
        load(None, "prod", nowhere(tmp_path), account)
    assert load(written(tmp_path), "", nowhere(tmp_path), account).context == "dev"


def written(folder: Path) -> Path:
    return write_kubeconfig(folder, {"token": "t"})


def test_an_address_of_ipv6_stands_in_brackets(account: Path, tmp_path: Path) -> None:
    environ = nowhere(tmp_path, KUBERNETES_SERVICE_HOST="fd00::1", POD_NAMESPACE="other")
    found = load(None, "", environ, account)
    assert (found.server, found.namespace) == ("https://[fd00::1]:443", "other")


@pytest.mark.parametrize("content", [None, b"", b"not a certificate", b"\xff"])
def test_without_a_usable_authority_those_of_the_system_decide(account: Path, tmp_path: Path, content: bytes | None) -> None:
    (account / "ca.crt").unlink()
    if content is not None:
        (account / "ca.crt").write_bytes(content)
    assert load(None, "", nowhere(tmp_path), account).authority is None


def test_helms_kubeconfig_names_the_file_of_the_token_and_holds_no_secret(account: Path, tmp_path: Path) -> None:
    found = load(None, "", nowhere(tmp_path), account)
    assert found.pod
    text = in_cluster.document(found.pod)
    assert json.loads(text)["users"] == [{"name": "in-cluster", "user": {"tokenFile": str(account / "token")}}]
    # As a whole word: certificates in base64 have any two letters.
    assert '"t1"' not in text
    file = tmp_path / "helm"
    file.write_text(text)
    again = load(file)
    assert (again.server, again.authority, again.token_file, again.context) == (
        found.server,
        found.authority,
        found.token_file,
        "in-cluster",
    )


def test_a_pipe_is_read_once_and_its_content_is_kept_for_helm_in_memory(tmp_path: Path) -> None:
    text = written(tmp_path).read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(text,))
    writer.start()
    found = load(fifo)
    writer.join()
    assert found.token == "t"  # noqa: S105 - opens nothing
    assert found.piped == text


@pytest.mark.skipif(not memory.is_there(), reason="this system has no files in memory")
def test_a_file_in_memory_is_read_by_our_children_and_changes_as_a_whole() -> None:
    file = memory.MemoryFile(b"one")
    for content in (b"one", b"a longer one", b"two"):
        file.write(content)
        read = [subprocess.run(["cat", file.path], capture_output=True, check=True).stdout for _ in range(2)]
        assert read == [content, content]


def test_a_credential_takes_the_place_of_a_plugin_for_helm(tmp_path: Path) -> None:
    plugin = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "login", "interactiveMode": "Always"}, "as": "bob"}
    user = {**plugin, "as-groups": ["a"], "as-user-extra": {"why": ["x", "z"]}}
    ca = base64.b64encode(b"AUTHORITY").decode()
    found = load(write_kubeconfig(tmp_path, user, **{"tls-server-name": "api.example", "certificate-authority-data": ca}))
    (tmp_path / "helm").write_bytes(memory.with_credential(found, Token("t", None, b"CERTIFICATE", b"KEY")))
    again = load(tmp_path / "helm")
    assert (again.token, again.certificate, again.key, again.plugin) == ("t", b"CERTIFICATE", b"KEY", None)
    same = ("context", "server", "authority", "server_name", "impersonate")
    assert [getattr(again, name) for name in same] == [getattr(found, name) for name in same]


def test_a_descriptor_is_read_by_its_path(tmp_path: Path) -> None:
    with written(tmp_path).open() as file:
        assert load(Path(f"/dev/fd/{file.fileno()}")).piped is not None


def test_a_pipe_besides_other_files_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    with file.open() as one, pytest.raises(UsageError, match="is several files, and one of them is a pipe"):
        load(None, "", {"KUBECONFIG": f"{file}:/dev/fd/{one.fileno()}"})
