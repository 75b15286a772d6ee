"""Who refused a request: the proxy by its policies, or the application in the same words."""

from dataclasses import replace

import pytest

from meshinstall.checks.authz.answers import judge_reply
from meshinstall.model.answering import FROM_BEHIND, Answering
from meshinstall.model.authz import Http, Outcome, Request, Token
from meshinstall.model.wire import End, Reply

CART = "cluster.local/ns/shop/sa/cart"
WEB = Request(8080, CART, Http())
TCP = Request(3306, CART)
PLAIN = Request(8080, http=Http())
PLAIN_TCP = Request(3306)
STRICT = Answering(is_http=True, takes_anybody=False)
OPEN = Answering(is_http=True, takes_anybody=True)
STRICT_TCP = Answering(is_http=False, takes_anybody=False)
RBAC = "RBAC: access denied"
CHALLENGE = {"www-authenticate": 'Bearer realm="http://web/api", error="invalid_token"'}


def answer(status: int, body: str = "", *, behind: bool = False, identity: str = f"spiffe://{CART}", **headers: str) -> Reply:
    """An answer of HTTP, with the mark of Envoy's router when it comes from ``behind``."""
    return Reply(End.HEAD, f"HTTP {status}", status, headers | ({FROM_BEHIND: "1"} if behind else {}), body, identity)


def unauthorized(body: str) -> Reply:
    """The answer of Envoy's filter for tokens."""
    return Reply(End.HEAD, "HTTP 401", 401, CHALLENGE, body, f"spiffe://{CART}")


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (answer(200, behind=True), Outcome.ALLOW),
        (answer(404, behind=True), Outcome.ALLOW),
        # What an application says of itself, in whatever words.
        (answer(403, RBAC, behind=True), Outcome.ALLOW),
        (answer(401, "Jwt is expired", behind=True), Outcome.ALLOW),
        (answer(403, RBAC), Outcome.DENY),
        (answer(403, "Audiences in Jwt are not allowed"), Outcome.DENY),
        (unauthorized("Jwt is expired"), Outcome.UNAUTHENTICATED),
        (unauthorized("Jwks doesn't have key to match kid or alg from Jwt"), Outcome.UNAUTHENTICATED),
        # The proxy's own, and no refusal by a policy: a service that decides by CUSTOM, no route, nothing behind it.
        (unauthorized("log in first"), Outcome.UNDECIDED),
        (answer(401, "Jwt is expired"), Outcome.UNDECIDED),
        (answer(403, "RBAC: access denied\n"), Outcome.UNDECIDED),
        (answer(403, ""), Outcome.UNDECIDED),
        (answer(302, ""), Outcome.UNDECIDED),
        (answer(200, ""), Outcome.UNDECIDED),
        (answer(503, "upstream connect error or disconnect/reset before headers"), Outcome.UNDECIDED),
        (Reply(End.CLOSED, "closed", identity=f"spiffe://{CART}"), Outcome.UNDECIDED),
        (Reply(End.RESET, "reset", identity=f"spiffe://{CART}"), Outcome.UNDECIDED),
        (Reply(End.HELD, "kept open", identity=f"spiffe://{CART}"), Outcome.UNDECIDED),
        (Reply(End.BYTES, "something else", identity=f"spiffe://{CART}"), Outcome.UNDECIDED),
        (Reply(End.FAILED, "connection refused"), Outcome.UNDECIDED),
    ],
)
def test_a_refusal_counts_where_the_proxy_gave_it(reply: Reply, outcome: Outcome) -> None:
    assert judge_reply(WEB, reply, STRICT).outcome is outcome


@pytest.mark.parametrize("proxy", [Answering(is_http=False, takes_anybody=False), Answering(is_http=True, takes_anybody=False, hides="x")])
@pytest.mark.parametrize("reply", [answer(403, RBAC), unauthorized("Jwt is expired")])
def test_where_an_application_may_have_said_it_nothing_is_known(proxy: Answering, reply: Reply) -> None:
    assert judge_reply(WEB, reply, proxy).outcome is Outcome.UNDECIDED


def test_a_mark_that_others_write_proves_nothing() -> None:
    known, unknown = (Answering(is_http=True, takes_anybody=False, hides="x", forges=forges) for forges in ("", "x"))
    assert judge_reply(WEB, answer(200, behind=True), known).outcome is Outcome.ALLOW
    assert judge_reply(WEB, answer(200, behind=True), unknown).outcome is Outcome.UNDECIDED


@pytest.mark.parametrize("identity", ["", "spiffe://cluster.local/ns/shop/sa/other", "spiffe://other.domain/ns/shop/sa/cart"])
def test_a_caller_with_another_certificate_proves_nothing(identity: str) -> None:
    found = judge_reply(WEB, answer(200, behind=True, identity=identity), STRICT)
    assert found.outcome is Outcome.UNDECIDED
    assert f"spiffe://{CART}" in found.reason


@pytest.mark.parametrize(
    ("request_", "proxy", "end", "outcome"),
    [
        (PLAIN, STRICT, End.RESET, Outcome.DENY),
        (PLAIN_TCP, STRICT_TCP, End.RESET, Outcome.DENY),
        # Where plaintext is taken an application may reset, too.
        (PLAIN, OPEN, End.RESET, Outcome.UNDECIDED),
        (PLAIN_TCP, Answering(is_http=False, takes_anybody=True), End.RESET, Outcome.UNDECIDED),
        (PLAIN, STRICT, End.CLOSED, Outcome.UNDECIDED),
        (PLAIN_TCP, STRICT_TCP, End.CLOSED, Outcome.UNDECIDED),
        (PLAIN_TCP, Answering(is_http=False, takes_anybody=True), End.HELD, Outcome.ALLOW),
        # What it says and what it does cannot both be true.
        (PLAIN_TCP, STRICT_TCP, End.HELD, Outcome.UNDECIDED),
        (TCP, STRICT_TCP, End.HELD, Outcome.ALLOW),
        # The service that it asks may not have answered yet.
        (TCP, replace(STRICT_TCP, waits="x"), End.HELD, Outcome.UNDECIDED),
        (TCP, STRICT_TCP, End.BYTES, Outcome.ALLOW),
        (TCP, STRICT_TCP, End.RESET, Outcome.UNDECIDED),
        # Its proxy answers what is no HTTP.
        (TCP, STRICT, End.BYTES, Outcome.UNDECIDED),
    ],
)
def test_a_closed_connection_counts_where_only_the_proxy_can_have_closed_it(
    request_: Request, proxy: Answering, end: End, outcome: Outcome
) -> None:
    reply = Reply(end, "words", identity=f"spiffe://{request_.principal}" if request_.principal else "")
    assert judge_reply(request_, reply, proxy).outcome is outcome


def test_keys_that_istiod_could_not_read_are_named_with_the_refusal() -> None:
    proxy = Answering(is_http=True, takes_anybody=False, unkeyed=("https://gone.example",))
    signed, other = (replace(WEB, http=Http(token=Token({"iss": issuer}))) for issuer in ("https://gone.example", "https://here.example"))
    reason = judge_reply(signed, unauthorized("Jwt verification fails"), proxy).reason
    assert "istiod could not read the keys of https://gone.example" in reason
    assert "istiod" not in judge_reply(signed, answer(403, RBAC), proxy).reason
    assert "istiod" not in judge_reply(other, unauthorized("Jwt is expired"), proxy).reason


REPEATED = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"
SIGNED = replace(WEB, http=Http(token=Token({"iss": "x"}, variable="ANN_TOKEN")))


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, f"authorization: Bearer {REPEATED}"),
        answer(403, " ".join(REPEATED)),
        unauthorized(f"Jwt {REPEATED} is not good"),
        unauthorized(REPEATED),
    ],
)
def test_a_token_that_an_answer_repeats_is_not_shown(reply: Reply) -> None:
    """Where Envoy's own headers are left out an application that repeats what it got looks like its proxy."""
    reason = judge_reply(SIGNED, reply, STRICT).reason
    assert all(part not in reason for part in (*REPEATED.split("."), " ".join(REPEATED[:9])))


def test_words_of_envoy_are_shown_beside_a_token() -> None:
    assert "Jwt is expired" in judge_reply(SIGNED, unauthorized("Jwt is expired"), STRICT).reason
