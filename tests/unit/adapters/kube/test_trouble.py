"""The client rides out what passes, repeats no write blindly, and is held by no server."""

import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import anyio
import anyio.to_thread
import pytest

from meshinstall.adapters.kube import client as kube_client
from meshinstall.adapters.kube import patience
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.errors import BudgetError, ClusterError, ConflictError, UnreachableError
from meshinstall.model.trial import Attempt, Write
from tests.contracts.servers import reply
from tests.unit.adapters.conftest import ApiServer, Reached, Respond

pytestmark = pytest.mark.anyio

MAPS = "/api/v1/namespaces/shop/configmaps"
MAP = f"{MAPS}/a"
BODY: dict[str, Any] = {"metadata": {"name": "a", "namespace": "shop"}, "data": {"x": "1"}}
# Seconds that a test waits for an exchange, and for a server's thread to hear that nobody reads.
SHORT, SOON = 0.5, 5.0
LEADER = {"message": "etcdserver: leader changed"}


@pytest.fixture
def said() -> list[str]:
    """What the client told."""
    return []


@pytest.fixture
def client(reached: Reached, said: list[str], monkeypatch: pytest.MonkeyPatch) -> KubeClient:
    """A client whose pauses are short."""
    monkeypatch.setattr(patience, "_PAUSES", (0.01,))
    monkeypatch.setattr(patience, "LONGEST", 2.0)
    return KubeClient(reached(), None, said.append)


def answer(request: BaseHTTPRequestHandler, status: int, body: object, **headers: str) -> None:
    reply(request, status, json.dumps(body).encode(), **headers)


def reset(request: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    request.close_connection = True


class Shop:
    """A server with the ConfigMaps ``held``, by path, that does writes and, ``lost`` times, keeps its answer to one for itself."""

    def __init__(self, lost: int = 0, *, does: bool = True, keeps: Callable[[BaseHTTPRequestHandler], None] = reset) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.lost = lost
        self.does = does
        self.keeps = keeps
        self.writes: list[str] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = request.path.partition("?")[0]
        if request.command == "GET":
            answer(request, 200 if path in self.held else 404, self.held.get(path, {"message": "not found"}))
            return
        body = json.loads(request.rfile.read(int(request.headers.get("Content-Length", 0))) or b"{}")
        self.writes.append(request.command)
        status, made = 200, {"message": "already exists"}
        if self.does or not self.lost:
            status, made = self._do(request, path, body)
        if self.lost:
            self.lost -= 1
            self.keeps(request)
        else:
            answer(request, status, made)

    def _do(self, request: BaseHTTPRequestHandler, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if request.command == "DELETE":
            return 200, self.held.pop(path, {})
        if request.command == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.held:
                return 409, {"message": "already exists"}
        live = self.held.get(path, {})
        wanted, version = body["metadata"].get("resourceVersion"), str(len(self.writes))
        if wanted and wanted != live["metadata"]["resourceVersion"]:
            return 409, {"message": "the object has been modified"}
        fields = [{"manager": "meshinstall", "operation": "Apply" if "apply" in request.headers["Content-Type"] else "Update"}]
        self.held[path] = {**live, **body, "metadata": {**body["metadata"], "resourceVersion": version, "managedFields": fields}}
        return 200, self.held[path]


PASSING = {
    "429": (429, {"message": "too many requests"}),
    "500 of an election": (500, LEADER),
    "502": (502, {}),
    "503": (503, {}),
    "504": (504, {}),
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_look_is_tried_again_and_that_is_said_once(api: ApiServer, client: KubeClient, said: list[str], name: str) -> None:
    answers = iter([PASSING[name], PASSING[name], (200, BODY)])
    api.respond = lambda request: answer(request, *next(answers))
    assert await client.get(MAP) == BODY
    (note,) = said
    assert "is not ready" in note or "GET" in note
    assert note.endswith("trying again in 0.01 s, for at most 2 s")


async def test_a_connection_that_is_reset_is_made_again(api: ApiServer, client: KubeClient) -> None:
    tries: Iterator[Respond] = iter([reset, reset, lambda request: answer(request, 200, BODY)])
    api.respond = lambda request: next(tries)(request)  # noqa: PLW0108 - another one each time
    assert await client.get(MAP) == BODY


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "0"}, {"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}])
@pytest.mark.parametrize("method", ["create", "apply", "patch", "delete", "attempt"])
async def test_a_write_that_was_not_taken_is_sent_again(api: ApiServer, client: KubeClient, method: str, headers: dict[str, str]) -> None:
    shop = Shop(1, does=False, keeps=lambda request: answer(request, 429, {"message": "too many requests"}, **headers))
    api.respond = shop
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: client.create(MAPS, BODY),
        "apply": lambda: client.apply(MAP, BODY),
        "patch": lambda: client.patch(MAP, BODY),
        "delete": lambda: client.delete(MAP),
        "attempt": lambda: client.attempt(Attempt(Write.APPLY, MAP, BODY)),
    }
    await calls[method]()
    # Nothing was done, so nothing is looked for.
    assert [verb for verb, _, _ in api.requests] == shop.writes
    assert len(shop.writes) == 2


async def test_the_time_that_the_server_names_is_waited(api: ApiServer, client: KubeClient) -> None:
    asked: list[float] = []

    def respond(request: BaseHTTPRequestHandler) -> None:
        asked.append(time.monotonic())
        answer(request, *((429, {}) if len(asked) == 1 else (200, BODY)), Retry_After="1")

    api.respond = respond
    assert await client.get(MAP) == BODY
    assert asked[1] - asked[0] >= 1


async def test_a_time_that_is_too_long_ends_it_at_once(api: ApiServer, client: KubeClient) -> None:
    api.respond = lambda request: answer(request, 429, {"message": "slow down"}, Retry_After="3600")
    with pytest.raises(UnreachableError, match="slow down"):
        await client.get(MAP)
    assert len(api.requests) == 1


async def test_trouble_that_stays_is_an_error(api: ApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a request takes on a busy machine.
    monkeypatch.setattr(patience, "LONGEST", 1.5)
    api.respond = lambda request: answer(request, 500, LEADER)
    with pytest.raises(UnreachableError, match="leader changed"):
        await client.get(MAP)
    assert len(api.requests) > 1


async def test_a_disruption_budget_is_no_throttling(api: ApiServer, client: KubeClient) -> None:
    api.respond = lambda request: answer(request, 429, {"message": "Cannot evict pod"}, Retry_After="1")
    with pytest.raises(BudgetError, match="Cannot evict pod"):
        await client.create("/api/v1/namespaces/shop/pods/web/eviction", {"metadata": {"name": "web"}})
    assert len(api.requests) == 1


async def test_another_500_is_an_answer(api: ApiServer, client: KubeClient) -> None:
    api.respond = lambda request: answer(request, 500, {"message": "failed calling webhook"})
    with pytest.raises(ClusterError, match="failed calling webhook"):
        await client.create(MAPS, BODY)
    assert len(api.requests) == 1


LOST = {"reset": reset, "election": lambda request: answer(request, 500, LEADER), "504": lambda request: answer(request, 504, {})}


@pytest.mark.parametrize("name", LOST)
async def test_a_create_that_was_done_is_not_in_the_way_of_itself(api: ApiServer, client: KubeClient, name: str) -> None:
    api.respond = shop = Shop(1, keeps=LOST[name])
    assert (await client.create(MAPS, BODY))["data"] == BODY["data"]
    assert shop.writes == ["POST"]


@pytest.mark.parametrize("name", LOST)
async def test_a_create_that_was_not_done_is_sent_again(api: ApiServer, client: KubeClient, name: str) -> None:
    api.respond = shop = Shop(1, does=False, keeps=LOST[name])
    await client.create(MAPS, BODY)
    assert shop.writes == ["POST", "POST"]


async def test_what_somebody_else_created_is_not_taken_for_ours(api: ApiServer, client: KubeClient) -> None:
    api.respond = shop = Shop(1, does=False)
    shop.held[MAP] = {**BODY, "data": {"x": "somebody else's"}}
    with pytest.raises(ConflictError, match="already exists"):
        await client.create(MAPS, BODY)


@pytest.mark.parametrize("does", [True, False])
async def test_an_apply_is_sent_again_only_when_it_was_not_done(api: ApiServer, client: KubeClient, does: bool) -> None:  # noqa: FBT001
    api.respond = shop = Shop(1, does=does)
    assert (await client.apply(MAP, BODY))["data"] == BODY["data"]
    assert len(shop.writes) == (1 if does else 2)


async def test_a_patch_of_a_version_is_no_conflict_with_itself(api: ApiServer, client: KubeClient) -> None:
    api.respond = shop = Shop()
    version = (await client.create(MAPS, BODY))["metadata"]["resourceVersion"]
    shop.lost = 1
    patched = await client.patch(MAP, {"metadata": {"resourceVersion": version}, "data": {"x": "2"}})
    assert patched["data"] == {"x": "2"}
    assert shop.writes == ["POST", "PATCH"]


async def test_a_delete_that_was_done_is_not_repeated(api: ApiServer, client: KubeClient) -> None:
    api.respond = shop = Shop()
    await client.create(MAPS, BODY)
    shop.lost = 1
    await client.delete(MAP)
    assert shop.writes == ["POST", "DELETE"]


def listing(request: BaseHTTPRequestHandler, names: str, more: str = "") -> None:
    items = [{"metadata": {"namespace": "shop", "name": name}} for name in names]
    answer(request, 200, {"metadata": {"continue": more}, "items": items})


async def names(client: KubeClient) -> str:
    return "".join([item["metadata"]["name"] async for item in client.list(MAPS)])


async def test_a_list_that_the_server_forgot_is_begun_again(api: ApiServer, client: KubeClient) -> None:
    steps: Iterator[Respond] = iter(
        [
            lambda request: listing(request, "ab", "old"),
            lambda request: answer(request, 410, {"reason": "Expired"}),
            lambda request: listing(request, "ab", "new"),
            lambda request: listing(request, "c"),
        ]
    )
    api.respond = lambda request: next(steps)(request)  # noqa: PLW0108 - another one each time
    assert await names(client) == "abc"


async def test_a_list_that_is_always_forgotten_is_an_error(api: ApiServer, client: KubeClient) -> None:
    api.respond = lambda request: answer(request, 410, {"message": "too old"}) if "continue" in request.path else listing(request, "a", "x")
    with pytest.raises(ClusterError, match="too old"):
        await names(client)
    assert len(api.requests) == 6


async def test_a_list_without_end_is_left(api: ApiServer, client: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_client, "_PAGES", 5)
    api.respond = lambda request: listing(request, "a", f"page {len(api.requests)}")
    with pytest.raises(ClusterError, match="lists more than 5 pages"):
        await names(client)
    assert len(api.requests) == 5


HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "silence": (b"", b""),
    "a byte now and then": (b"", b"H"),
    "100 Continue for ever": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a header for ever": (HEAD + b"X-Long: ", b"x"),
    "a body for ever": (HEAD + b"\r\n", b" "),
    "a chunked body for ever": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("name", DRIPS)
async def test_a_server_costs_its_own_time_at_most(api: ApiServer, reached: Reached, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(kube_client, "_WHOLE", SHORT)
    monkeypatch.setattr(patience, "LONGEST", 0)
    begin, then = DRIPS[name]
    ended = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        try:
            request.wfile.write(begin)
            while then:
                time.sleep(0.05)
                request.wfile.write(then)
            request.rfile.read(1)
        except OSError:
            pass
        ended.set()

    api.respond = drip
    with anyio.fail_after(SHORT + SOON):
        with pytest.raises(UnreachableError, match=r"did not answer GET .* within 0\.5 s"):
            await KubeClient(reached(), None).get(MAP)
        # The thread that read lets go, too.
        assert await anyio.to_thread.run_sync(ended.wait, SOON)


async def test_whoever_gives_up_takes_the_connection_with_him(api: ApiServer, reached: Reached) -> None:
    ended = threading.Event()

    def wait(request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(1)
        ended.set()

    api.respond = wait
    with anyio.move_on_after(SHORT):
        await KubeClient(reached(), None).get(MAP)
    assert await anyio.to_thread.run_sync(ended.wait, SOON)


async def test_a_connection_that_is_used_again_is_not_cut_for_the_one_before(api: ApiServer, reached: Reached) -> None:
    api.respond = lambda request: answer(request, 200, BODY)
    client = KubeClient(reached(), None)
    for _ in range(5):
        assert await client.get(MAP) == BODY


async def test_words_of_a_server_move_no_cursor(api: ApiServer, client: KubeClient) -> None:
    api.respond = lambda request: answer(request, 422, {"message": "no\x1b[2J\x9b\r\n\u202egood"})
    with pytest.raises(ClusterError) as caught:
        await client.create(MAPS, BODY)
    assert caught.value.message.isprintable()
