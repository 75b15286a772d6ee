"""Rows as they are sent, and those that cannot be."""

import json
from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest

from meshinstall.checks.authz.sending import account_of, is_token, text_of, why_not
from meshinstall.model.authz import Http, Request, Token
from meshinstall.model.place import Place

CART = "cluster.local/ns/shop/sa/cart"


def signed(claims: str) -> str:
    """A token that says this."""
    return f"e30.{urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.c2ln"


ANN = signed('{"iss": "https://login.example", "sub": "ann"}')
TOKENS = {"ANN": ANN}
TOKEN = Token({"sub": "ann"}, variable="ANN")
GET = Request(8080, CART, Http("GET", "/api?x=1", "web", {"x-tier": "gold"}))


def test_a_row_is_sent_as_it_is_written() -> None:
    text = text_of(GET, "10.0.0.7:8080", {})
    assert text == b"GET /api?x=1 HTTP/1.1\r\nhost: web\r\nx-tier: gold\r\nconnection: close\r\n\r\n"


def test_without_a_host_the_address_is_one_and_a_body_is_empty() -> None:
    text = text_of(Request(8080, CART, Http("POST", "/")), "10.0.0.7:8080", {})
    assert text == b"POST / HTTP/1.1\r\nhost: 10.0.0.7:8080\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("token", "line"),
    [
        (TOKEN, f"authorization: Bearer {ANN}\r\n"),
        (replace(TOKEN, header="X-Jwt", prefix=""), f"x-jwt: {ANN}\r\n"),
        (replace(TOKEN, cookie="session"), f"cookie: a=b; session={ANN}\r\n"),
        (replace(TOKEN, param="access_token"), f"GET /api?x=1&access_token={ANN} HTTP/1.1\r\n"),
    ],
)
def test_a_token_is_where_the_row_has_it(token: Token, line: str) -> None:
    row = replace(GET, http=replace(GET.http or Http(), token=token, headers={"cookie": "a=b"}))
    assert line in text_of(row, "", TOKENS).decode()


@pytest.mark.parametrize(
    ("row", "said", "is_same"),
    [
        ("1", "true", False),
        ("true", "1", False),
        ("0", "false", False),
        ('[1, "a"]', '[true, "a"]', False),
        ('{"a": {"b": 0}}', '{"a": {"b": false}}', False),
        ("1", "1.0", True),
        ('{"a": 1, "b": [true]}', '{"b": [true], "a": 1}', True),
        ("null", "null", True),
    ],
)
def test_a_number_of_a_token_is_no_true_or_false(row: str, said: str, is_same: bool) -> None:  # noqa: FBT001 - a column of the table
    token = Token({"vip": json.loads(row)}, variable="ANN")
    why = why_not(replace(GET, http=Http(token=token)), is_gateway=False, tokens={"ANN": signed(f'{{"vip": {said}}}')})
    assert (why == "") is is_same


def test_a_claim_that_a_token_has_not_is_not_null() -> None:
    token = Token({"vip": None}, variable="ANN")
    assert "something else" in why_not(replace(GET, http=Http(token=token)), is_gateway=False, tokens=TOKENS)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (replace(GET, principal="cluster.local/some/thing"), "no pod can have the identity"),
        (replace(GET, source_ip="10.0.0.1"), "names an address"),
        (replace(GET, server_name="web"), "names an address"),
        (replace(GET, http=Http(token=Token({}))), "cannot be signed"),
        (replace(GET, http=Http(token=Token({}, variable="BOB"))), "the variable BOB is not set"),
        (replace(GET, http=Http(token=Token({"sub": "bob", "aud": "x"}, variable="ANN"))), "something else than the row: aud, sub"),
        (replace(GET, http=Http(path="/a b")), "the path cannot be sent"),
        (replace(GET, http=Http(path="/a\r\nx: y")), "the path cannot be sent"),
        (replace(GET, http=Http(path="a")), "the path cannot be sent"),
        (replace(GET, http=Http(path="/ä")), "the path cannot be sent"),
        (replace(GET, http=Http(headers={"x": "a\r\ny: b"})), "a character that cannot be sent"),
        (replace(GET, http=Http(host="a\nb")), "a character that cannot be sent"),
        (replace(GET, http=Http(headers={"transfer-encoding": "chunked"})), "the header transfer-encoding"),
        (replace(GET, http=Http(headers={"content-length": "5"})), "the header content-length"),
    ],
)
def test_what_cannot_be_tried_says_why(row: Request, why: str) -> None:
    assert why in why_not(row, is_gateway=False, tokens=TOKENS)


def test_what_can_be_tried_has_no_reason_not_to() -> None:
    assert why_not(GET, is_gateway=False, tokens={}) == ""
    assert why_not(replace(GET, http=Http(token=TOKEN)), is_gateway=False, tokens=TOKENS) == ""
    assert why_not(Request(80, http=Http()), is_gateway=True, tokens={}) == ""
    assert why_not(Request(3306, CART), is_gateway=False, tokens={}) == ""
    assert "from: {plaintext: true}" in why_not(GET, is_gateway=True, tokens={})


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c.d", "a.b.c\r\nx: y", "a b.c.d", "a.b.ç", "a." + "b" * 20000 + ".c"])
def test_what_is_not_a_token_is_not_sent(text: str) -> None:
    assert not is_token(text)


def test_an_account_is_what_a_principal_names() -> None:
    assert account_of(CART) == Place("shop", "cart")
    assert account_of("cluster.local/ns/shop/sa/cart/more") is None
