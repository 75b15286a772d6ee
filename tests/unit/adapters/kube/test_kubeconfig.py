"""A kubeconfig is read as kubectl reads it, and what is wrong with it is said without a secret."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshinstall.adapters.kube.kubeconfig import ExecPlugin, load
from meshinstall.errors import MeshinstallError, UsageError

Write = Callable[..., Path]
V1 = "client.authentication.k8s.io/v1"


def config(
    name: str = "dev", cluster: Mapping[str, Any] | None = None, user: Mapping[str, Any] | None = None, current: str = ""
) -> dict[str, Any]:
    return {
        "current-context": current or name,
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example/", **(cluster or {})}}],
        "users": [{"name": name, "user": dict(user or {})}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a kubeconfig, in a folder of its own."""

    def one(content: object, name: str = "config") -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return file

    return one


def refused(path: Path | None, context: str = "", environ: Mapping[str, str] | None = None) -> MeshinstallError:
    with pytest.raises(MeshinstallError) as caught:
        load(path, context, environ or {})
    return caught.value


def test_the_current_context_is_taken(write: Write) -> None:
    found = load(write(config(user={"token": "t"})))
    assert found.context == "dev"
    assert found.server == "https://dev.example"
    assert found.token == "t"  # noqa: S105 - no secret


def test_several_files_are_one_and_the_first_to_name_something_wins(write: Write) -> None:
    one = write(config("one"), "a/config")
    two = write({**config("one", cluster={"server": "https://other.example"}), "current-context": "two"}, "b/config")
    three = write(config("three"), "c/config")
    environ = {"KUBECONFIG": f"{one}:{two}:/nowhere::{three}"}
    assert load(None, "", environ).server == "https://one.example"
    assert load(None, "one", environ).server == "https://one.example"
    assert load(None, "three", environ).server == "https://three.example"


def test_relative_paths_count_from_the_file_that_names_them(write: Write, tmp_path: Path) -> None:
    write("AUTHORITY", "a/ca.pem")
    write("CERTIFICATE", "b/cert.pem")
    write("KEY", "b/key.pem")
    parts = config()
    one = write({"clusters": [{"name": "dev", "cluster": {"server": "https://x", "certificate-authority": "ca.pem"}}]}, "a/config")
    user = {"client-certificate": "cert.pem", "client-key": "key.pem", "tokenFile": "token"}
    two = write({**parts, "clusters": [], "users": [{"name": "dev", "user": user}]}, "b/config")
    found = load(None, "", {"KUBECONFIG": f"{one}:{two}"})
    assert found.authority == b"AUTHORITY"
    assert found.key == b"KEY"
    assert found.token_file == tmp_path / "b" / "token"


def test_data_besides_a_path_is_refused_as_helm_does(write: Write) -> None:
    data = base64.b64encode(b"PEM").decode()
    error = refused(write(config(cluster={"certificate-authority-data": data, "certificate-authority": "gone.pem"})))
    assert "certificate-authority of cluster 'dev'" in error.message
    assert "is there besides certificate-authority-data" in error.message


def test_a_credential_plugin(write: Write) -> None:
    stated = {"apiVersion": V1, "command": "aws", "args": ["eks"], "env": [{"name": "A", "value": "1"}], "installHint": "get it"}
    user = {"exec": {**stated, "interactiveMode": "Never"}}
    assert load(write(config(user=user))).plugin == ExecPlugin(V1, "aws", ("eks",), {"A": "1"}, "get it", "Never")


def test_no_file() -> None:
    error = refused(None, environ={"KUBECONFIG": "/nowhere/config"})
    assert error.message == "no kubeconfig at /nowhere/config"
    assert error.exit_code == 2


@pytest.mark.parametrize(
    "content", ["", "just text", "- a list", "a: [", "contexts: {}", "contexts: [text]", "contexts: [{}]", "\x00", "users: 7"]
)
def test_a_file_that_is_no_kubeconfig_is_a_users_mistake(write: Write, content: str) -> None:
    assert isinstance(refused(write(content)), UsageError)


def test_a_context_that_is_not_there_names_those_that_are(write: Write) -> None:
    assert refused(write(config()), "prod").message.endswith("(it has: dev)")
    assert refused(write({**config(), "current-context": ""})).message.startswith("no current context in the kubeconfig ")


def test_a_context_whose_cluster_is_not_there(write: Write) -> None:
    assert "names cluster 'dev', which is not there" in refused(write({**config(), "clusters": []})).message


@pytest.mark.parametrize(
    "server",
    ["", "10.0.0.1:6443", "ftp://x", "https://", "https://x:port", "https://x:0", "https://[::1", "https://a b", "https://x\n.example"],
)
def test_a_server_that_is_not_a_url_is_a_users_mistake(write: Write, server: str) -> None:
    assert "server of cluster 'dev' in the kubeconfig" in refused(write(config(cluster={"server": server}))).message


EXEC = {"exec": {"apiVersion": V1, "command": "x", "interactiveMode": "Never"}}


@pytest.mark.parametrize(
    "user", [{"token": "hunter2"}, {"tokenFile": "hunter2"}, EXEC, {"client-certificate-data": "eA==", "client-key-data": "eA=="}]
)
def test_no_credential_is_even_fetched_for_a_server_without_encryption(write: Write, user: dict[str, Any]) -> None:
    error = refused(write(config(cluster={"server": "http://dev.example"}, user=user)))
    assert "would send credentials to http://dev.example without encryption" in error.message
    assert "hunter2" not in error.message
    assert load(write(config(cluster={"server": "http://127.0.0.1:8001"}, user=user))).server == "http://127.0.0.1:8001"


@pytest.mark.parametrize(
    "proxy", ["10.0.0.1:3128", "ftp://x", "http://", "http://x:port", "http://x:0", "http://[::1", "http://ann:hunter2@a b", "socks4://x"]
)
def test_a_proxy_that_is_not_a_url_is_a_users_mistake(write: Write, proxy: str) -> None:
    error = refused(write(config(cluster={"proxy-url": proxy})))
    assert isinstance(error, UsageError)
    assert error.message.startswith("proxy-url of cluster 'dev' in the kubeconfig ")
    assert "hunter2" not in f"{error.message}{error.hint}"


@pytest.mark.parametrize("proxy", ["http://x:3128", "https://ann:pw@x", "socks5://x", "socks5h://[::1]:1080"])
def test_a_proxy_of_the_kubeconfig_is_kept(write: Write, proxy: str) -> None:
    assert load(write(config(cluster={"proxy-url": proxy}))).proxy == proxy


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"username": "ann", "password": "hunter2"}, "a password (basic auth), which is not supported"),
        ({"auth-provider": {"name": "oidc", "config": {"id-token": "hunter2"}}}, "auth-provider, which is not supported"),
        ({"client-certificate-data": "aHVudGVyMg=="}, "has a client-certificate but not a client-key"),
        ({"client-key-data": "aHVudGVyMg=="}, "has a client-key but not a client-certificate"),
        ({"token": 7}, "token of user 'dev' in the kubeconfig"),
        ({"token": ["hunter2"]}, "is not text: put it in quotes"),
    ],
)
def test_what_would_leave_the_caller_anonymous_is_refused(write: Write, user: dict[str, Any], said: str) -> None:
    error = refused(write(config(user=user)))
    assert said in error.message
    assert "hunter2" not in f"{error.message}{error.hint}"


def test_a_login_in_the_servers_url_is_refused_unseen(write: Write) -> None:
    error = refused(write(config(cluster={"server": "https://ann:hunter2@x.example"})))
    assert "basic auth" in error.message
    assert "hunter2" not in error.message


@pytest.mark.parametrize("context", [{"cluster": "dev"}, {"cluster": "dev", "user": ""}, {"cluster": "dev", "user": "gone"}])
def test_a_context_whose_user_is_not_there_is_not_anonymous(write: Write, context: dict[str, str]) -> None:
    assert "user" in refused(write({**config(), "contexts": [{"name": "dev", "context": context}]})).message


def test_a_user_without_credentials_is_anonymous_and_known_to_be(write: Write) -> None:
    assert load(write(config())).is_anonymous
    assert not load(write(config(cluster={"server": "http://127.0.0.1:8001"}))).is_anonymous
    assert not load(write(config(user={"token": "t"}))).is_anonymous


def test_a_named_file_is_one_path_and_kubeconfig_a_list(write: Write, tmp_path: Path) -> None:
    one, odd = write(config("one")), write(config("odd"), "a:b")
    assert load(odd).context == "odd"
    assert refused(Path(f"{one}:{odd}")).message == f"no kubeconfig at {one}:{odd}"
    assert refused(tmp_path).message == f"the kubeconfig {tmp_path} cannot be read: Is a directory"


def test_a_name_that_is_there_more_than_once_is_refused(write: Write) -> None:
    content = config(user={"token": "hunter2"})
    assert "names user 'dev' more than once" in refused(write({**content, "users": content["users"] * 2})).message


def test_base64_is_what_go_takes_for_it(write: Write) -> None:
    for given, found in (("UEVN", b"PEM"), ("UE\nVN\r\n", b"PEM"), ("UEVNUA==\n", b"PEMP"), ("UEVNUB==", b"PEMP")):
        assert load(write(config(cluster={"certificate-authority-data": given}))).authority == found
    for given in ("UEVNUA", "UEVNUA=", "UEVN UEVN", "UEVN_-__", "UEVNUA==UEVN", "====", "UEV"):
        assert "is not base64" in refused(write(config(cluster={"certificate-authority-data": given}))).message


def test_the_check_of_the_servers_certificate_cannot_be_turned_off(write: Write) -> None:
    error = refused(write(config(cluster={"insecure-skip-tls-verify": True})))
    assert "turns off the check" in error.message
    assert "certificate-authority-data" in error.hint


@pytest.mark.parametrize("key", ["client-key-data", "client-certificate-data"])
def test_data_that_is_not_base64_is_not_shown(write: Write, key: str) -> None:
    error = refused(write(config(user={key: "hunter2!"})))
    assert key in error.message
    assert "hunter2" not in f"{error.message}{error.hint}"


def test_a_key_file_that_is_not_there_is_named(write: Write, tmp_path: Path) -> None:
    assert str(tmp_path / "gone.pem") in refused(write(config(user={"client-key": "gone.pem"}))).message


def test_secrets_are_in_no_repr(write: Write) -> None:
    data = base64.b64encode(b"hunter2").decode()
    found = load(write(config(user={"token": "hunter2", "client-key-data": data, "client-certificate-data": data})))
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    "user",
    [{"exec": {"command": "x", "env": [{"name": "A"}]}}, {"exec": "text"}, {"client-key-data": 7}],
)
def test_a_user_of_the_wrong_shape_is_a_users_mistake(write: Write, user: dict[str, Any]) -> None:
    refused(write(config(user=user)))


@pytest.mark.parametrize("key", ["client-certificate", "client-key", "tokenFile"])
def test_a_path_that_no_file_has_is_a_users_mistake(write: Write, key: str) -> None:
    assert f"{key} of user 'dev'" in (error := refused(write(config(user={key: "a\0b"})))).message
    assert error.message.endswith("holds a character that no path has")
