"""Who gets a login: the registry that was asked and the token service that it names over https, and nobody else."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.adapters.charts.http import Answer, Http
from meshinstall.adapters.charts.logins import Login
from meshinstall.adapters.charts.registry_login import authorization
from meshinstall.adapters.net.deadlines import Deadline
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.ports import Charts
from tests.contracts.registries import IDENTITY, LOGIN, Registry, kind
from tests.contracts.servers import DIGEST, chart, reply, serving

pytestmark = pytest.mark.anyio

Start = Callable[[type[Registry]], str]
ASKED = "https://registry.example.org/v2/charts/demo/manifests/1.0.0"
MINE = Login("a file", "me", "hunter2")


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a registry; gives host:port."""
    with ExitStack() as servers:
        yield lambda handler: servers.enter_context(serving(handler))


@pytest.fixture
def log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a login for several hosts."""

    def write(*hosts: str, **entry: str) -> None:
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": dict.fromkeys(hosts, entry or {"username": "me", "password": "hunter2"})}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))

    return write


async def failure(store: Charts, host: str) -> ChartError:
    with pytest.raises(ChartError) as caught:
        await store.resolve(chart(host))
    return caught.value


def answer(challenge: str, url: str = ASKED) -> Answer:
    return Answer(url, 401, {"WWW-Authenticate": challenge})


def header(found: Answer, login: Login = MINE) -> str:
    with Http("a source", Deadline(5), print) as http:
        return authorization(http, found, ASKED, login)


async def test_where_a_redirect_leads_nobody_may_ask_for_the_login(store: Charts, start: Start, log_in: Callable[..., None]) -> None:
    elsewhere = kind()
    there = start(elsewhere)
    host = start(kind(do_GET=lambda request: reply(request, 307, Location=f"http://{there}/v2/other")))
    log_in(host, there)

    error = await failure(store, host)

    assert f"redirects to http://{there}/v2/other, which asks for a login; only the registry itself gets one" in error.message
    assert [(path, sent) for _, _, path, sent in elsewhere.asked] == [("/v2/other", "")]


async def test_the_token_of_a_registry_does_not_follow_a_redirect(store: Charts, start: Start, log_in: Callable[..., None]) -> None:
    storage = kind(accepts=(None,))
    there = start(storage)
    serve = Registry.serve

    def moved(request: Registry, path: str) -> None:
        if "/blobs/" in path:
            reply(request, 307, Location=f"http://{there}{path}")
        else:
            serve(request, path)

    host = start(kind(serve=moved))
    log_in(host)

    assert (await store.fetch(chart(host))).exists()
    assert {sent for *_, sent in storage.asked} == {""}


async def test_a_token_service_that_redirects_passes_no_login_on(store: Charts, start: Start, log_in: Callable[..., None]) -> None:
    elsewhere = kind()
    there = start(elsewhere)
    honest = Registry.do_GET

    def redirecting(request: Registry) -> None:
        if request.path.startswith("/token"):
            reply(request, 307, Location=f"http://{there}/token")
        else:
            honest(request)

    host = start(kind(do_GET=redirecting))
    log_in(host, there)

    await failure(store, host)
    assert {sent for *_, sent in elsewhere.asked} == {""}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_an_identity_token_is_sent_once_and_to_no_redirect(
    store: Charts, start: Start, log_in: Callable[..., None], status: int
) -> None:
    elsewhere = kind()
    there = start(elsewhere)
    host = start(kind(do_POST=lambda request: reply(request, status, Location=f"http://{there}/token")))
    log_in(host, identitytoken=IDENTITY)

    error = await failure(store, host)

    assert elsewhere.asked == []
    assert "the registry needs a login" in error.message
    assert IDENTITY not in f"{error.message} {error.hint}"


@pytest.mark.parametrize(
    ("realm", "why"),
    [
        ("http://token.example.org/t", "is not https"),
        ("http://127.0.0.1/t", "is not https"),
        ("ftp://token.example.org", "is not https"),
        ("https:///t", "is not https"),
        ("", "is not https"),
        ("https://[", "is not an address"),
        ("https://token.example.org:x/", "is not an address"),
        ("https://me:hunter3@token.example.org/t", "has a login in it"),
        ("https://169.254.169.254/latest", "is an address of a private network"),
        ("https://10.1.2.3/t", "is an address of a private network"),
        ("https://[::1]/t", "is an address of a private network"),
        ("https://0.0.0.0/t", "is an address of a private network"),
    ],
)
def test_an_unsafe_token_service_gets_nothing(realm: str, why: str) -> None:
    for login in (MINE, Login("a file", identity=IDENTITY), Login()):
        with pytest.raises(ChartError, match=f"which {why}") as caught:
            header(answer(f'Bearer realm="{realm}",service="x"'), login)
        assert "hunter" not in caught.value.message


@pytest.mark.parametrize(
    "challenge",
    ['Basic realm="x"', "basic", 'Negotiate, Basic realm="Bearer x"', 'Digest realm="a, Bearer b", nonce="c\\"d", Basic realm="x"'],
)
def test_basic_is_found_among_several_kinds(challenge: str) -> None:
    assert header(answer(challenge)) == LOGIN


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Digest realm="Basic"', "Bearer", "Bearer x", ",,=", "=", 'Bearer "', '"'])
def test_what_cannot_be_answered_is_a_chart_error(challenge: str) -> None:
    with pytest.raises(ChartError, match="asks for a kind of login that is not supported"):
        header(answer(challenge))


@given(some.text() | some.lists(some.sampled_from(["Bearer", "Basic", " ", ",", "=", '"', "\\", "realm", "https://[", "x"])).map("".join))
def test_no_challenge_is_a_traceback(challenge: str) -> None:
    try:
        assert header(answer(challenge)) in {LOGIN, ""}
    except ChartError as error:
        assert "hunter2" not in error.message  # noqa: PT017 - either is right


@pytest.mark.parametrize("token", ["a\nX-Evil: 1", "a b", "tökén", "a\0", "x" * 70_000, ["t-1"], 7])
async def test_a_token_that_no_header_may_have_is_refused_unseen(
    store: Charts, start: Start, log_in: Callable[..., None], token: Any
) -> None:
    host = start(kind(token=token))
    log_in(host)

    error = await failure(store, host)

    assert error.message == (f"the token from http://{host}/token cannot be used: it has other characters than visible ASCII, or too many")


@pytest.mark.parametrize("token", ["a\nX-Evil: 1", "tökén"])
async def test_a_stored_token_that_no_header_may_have_is_refused_unseen(
    store: Charts, start: Start, log_in: Callable[..., None], tmp_path: Path, token: str
) -> None:
    host = start(kind())
    log_in(host, registrytoken=token)

    error = await failure(store, host)

    assert error.message.startswith(f"the token from {tmp_path / 'auth.json'} cannot be used")
    assert token not in error.message


async def test_a_token_service_without_a_token_is_named(store: Charts, start: Start, log_in: Callable[..., None]) -> None:
    host = start(kind(token=""))
    log_in(host)

    assert (await failure(store, host)).message == (
        f"http://{host}/token, the token service of http://{host}/v2/charts/demo/manifests/1.0.0, answered without a token"
    )


async def test_a_realm_may_have_a_query_of_its_own(store: Charts, start: Start, log_in: Callable[..., None]) -> None:
    host = start(kind(challenge='Bearer realm="http://{host}/token?account=a%26b",service="s",scope="one two"'))
    log_in(host)

    assert (await store.resolve(chart(host))).digest == DIGEST


@pytest.mark.parametrize("target", ["http://[", "http://127.0.0.1:99999/x", "https://a:b/"])
async def test_a_redirect_to_something_that_is_no_address_is_an_error(store: Charts, start: Start, target: str) -> None:
    host = start(kind(do_GET=lambda request: reply(request, 307, Location=target)))

    assert "sends on to something that is not an address" in (await failure(store, host)).message
    index = json.dumps({"entries": {"demo": [{"version": "1.0.0", "urls": [target]}]}}).encode()
    repository = start(kind(do_GET=lambda request: reply(request, 200, index)))
    with pytest.raises(ChartError, match="sends on to something that is not an address"):
        await store.fetch(ChartRef("demo", "1.0.0", f"http://{repository}"))


@pytest.mark.parametrize("challenge", ['\\"' * 20_000, ", ".join(f"Kind{n} a=b" for n in range(5_000)), "\x1b[2J a=b"])
def test_a_challenge_of_any_size_is_told_in_short(challenge: str) -> None:
    with pytest.raises(ChartError, match="asks for a kind of login that is not supported") as caught:
        header(answer(challenge))
    assert len(caught.value.message) < 1000
    assert "\x1b" not in caught.value.message
