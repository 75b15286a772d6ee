"""Credentials go to the API server that the kubeconfig names, over an encrypted connection, and nowhere else."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.identity import headers
from meshinstall.adapters.kube.kubeconfig import Impersonation, Kubeconfig, load
from meshinstall.adapters.kube.portforward import PodPorts
from meshinstall.adapters.kube.tokens import source_of
from meshinstall.errors import ClusterError, MeshinstallError, UsageError
from tests.contracts.servers import reply
from tests.contracts.ways import Recorder, recorder
from tests.unit.adapters.conftest import ApiServer, Reached, write_kubeconfig

TOKEN = "hunter2"  # noqa: S105 - opens nothing
BOB = Impersonation("bob", "7", ("a", "b"), {"why": ("x", "y")})

Ask = Callable[[Kubeconfig], Any]
ASKS: dict[str, Ask] = {
    "a request": lambda config: KubeClient(config, source_of(config)).get("/version"),
    "a port-forward": lambda config: PodPorts(config, source_of(config)).get("istio-system", "istiod", 15014, "/debug/syncz"),
}
each_way = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)


def refused(ask: Ask, config: Kubeconfig) -> MeshinstallError:
    async def run() -> None:
        await ask(config)

    with pytest.raises(MeshinstallError) as caught:
        anyio.run(run)
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


@pytest.fixture
def elsewhere() -> Iterator[Recorder]:
    """Another server, without TLS."""
    with recorder(None) as server:
        yield server


@each_way
def test_every_request_says_whom_it_is_to_be_taken_for(ask: Ask, api: ApiServer, reached: Reached) -> None:
    seen = []

    def respond(request: Any) -> None:
        seen.append(sorted((name, value) for name, value in request.headers.items() if name.startswith("Impersonate-")))
        reply(request, 403, json.dumps({"message": "no"}).encode())

    api.respond = respond
    refused(ask, reached(token=TOKEN, impersonate=BOB))
    assert seen == [
        [
            ("Impersonate-Extra-why", "x"),
            ("Impersonate-Extra-why", "y"),
            ("Impersonate-Group", "a"),
            ("Impersonate-Group", "b"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-User", "bob"),
        ]
    ]


@each_way
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_that_names_where_it_leads(
    ask: Ask, status: int, api: ApiServer, reached: Reached, elsewhere: Recorder
) -> None:
    target = elsewhere.url.replace("http:", "ws:" if ask is ASKS["a port-forward"] else "http:")
    api.respond = lambda request: reply(request, status, b"{}", Location=f"{target}/login?state=secret")
    error = refused(ask, reached(token=TOKEN))
    assert error.message.endswith(f"answers with a redirect to {target}/login (HTTP {status}), which is not followed")
    assert len(api.requests) == 1
    assert elsewhere.seen == []


@each_way
@pytest.mark.parametrize("status", [300, 304])
def test_other_answers_of_that_kind_are_errors_too(ask: Ask, status: int, api: ApiServer, reached: Reached) -> None:
    api.respond = lambda request: reply(request, status)
    assert f"HTTP {status}" in refused(ask, reached(token=TOKEN)).message


@each_way
@pytest.mark.parametrize(
    "server", ["http://api.example.org", "http://192.0.2.7:8080", "http://127.0.0.1.example.org", "http://localhost.example.org"]
)
def test_a_token_does_not_travel_without_encryption(ask: Ask, server: str) -> None:
    assert "without encryption" in refused(ask, Kubeconfig("config", "dev", server, None, token=TOKEN)).message


@pytest.mark.parametrize("server", ["http://127.0.0.1:{}", "http://localhost:{}"])
def test_a_token_may_go_to_this_machine(server: str, elsewhere: Recorder) -> None:
    config = Kubeconfig("config", "dev", server.format(elsewhere.server_port), None, token=TOKEN)
    anyio.run(KubeClient(config, source_of(config)).get, "/version")
    assert [one.authorization for one in elsewhere.seen] == [f"Bearer {TOKEN}"]


@each_way
@pytest.mark.parametrize("token", [f"{TOKEN}\nX-Evil: 1", f"{TOKEN}\r", f"{TOKEN} 2", f"{TOKEN}é", f"{TOKEN}\0", f"\t{TOKEN}"])
def test_a_token_that_is_not_visible_ascii_is_refused_unseen(ask: Ask, token: str, api: ApiServer, reached: Reached) -> None:
    assert "was not sent" in refused(ask, reached(token=token)).message
    assert api.requests == []


EXTRA = st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=8)), max_size=3)


@given(st.text(max_size=20), st.lists(st.text(max_size=8), max_size=3), EXTRA)
def test_whatever_a_kubeconfig_says_is_one_header_each_or_a_users_mistake(
    user: str, groups: list[str], extra: dict[str, list[str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            config = load(write_kubeconfig(Path(folder), {"as": user, "as-groups": groups, "as-user-extra": extra}))
        except UsageError:
            return
    sent = list(headers(config, ""))
    assert len(sent) == (1 + len(groups) + sum(map(len, extra.values())) if user else 0)
    for name, value in sent:
        assert name.isascii()
        assert name.isprintable()
        assert not {" ", ":", "\n"} & set(name)
        assert not {"\n", "\r", "\0"} & set(value)


@pytest.mark.parametrize("user", [{"as-uid": "7"}, {"as-groups": ["a"]}, {"as-user-extra": {"a": ["b"]}}, {"as": ["bob"]}, {"as": "a\nb"}])
def test_half_an_impersonation_is_refused_instead_of_left_out(user: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of user 'dev' in the kubeconfig"):
        load(write_kubeconfig(tmp_path, {"token": TOKEN, **user}))


KINDS = (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_with_a_passphrase_ends_at_once_and_asks_no_terminal(
    kind: serialization.PrivateFormat, reached: Reached, authority: trustme.CA, tmp_path: Path
) -> None:
    leaf = authority.issue_cert("ann@example.org")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    hidden = key.private_bytes(serialization.Encoding.PEM, kind, serialization.BestAvailableEncryption(b"hunter2"))
    (tmp_path / "key").write_bytes(hidden)
    (tmp_path / "cert").write_bytes(leaf.cert_chain_pems[0].bytes())
    with pytest.raises(ClusterError, match="has a passphrase, which is not supported"):
        load(write_kubeconfig(tmp_path, {"client-certificate": "cert", "client-key": "key"}))
    with pytest.raises(ClusterError, match="the key has a passphrase"):
        KubeClient(reached(certificate=leaf.cert_chain_pems[0].bytes(), key=hidden), None)
