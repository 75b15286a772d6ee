"""What carries somebody's token follows no redirect: the address that it leads to is never asked."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from meshinstall.adapters.gke.http import Http, Patience
from tests.contracts.servers import QuietHandler, Respond, reply, serving


def answering(respond: Respond) -> Callable[..., BaseHTTPRequestHandler]:
    """A server that answers every GET so."""
    return type("Handler", (QuietHandler,), {"do_GET": respond})


def test_a_request_to_a_cloud_is_sent_once() -> None:
    asked: list[str] = []

    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.headers.get("Authorization", ""))
        reply(request, 200)

    with (
        serving(answering(elsewhere)) as target,
        serving(answering(lambda request: reply(request, 307, Location=f"http://{target}/token"))) as address,
    ):
        answer = Http(Patience())(f"http://{address}/", headers={"Authorization": "Bearer hunter2"})
    assert answer.status == 307
    assert asked == []
