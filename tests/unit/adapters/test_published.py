"""What identity providers publish: a real server of OpenID Connect on loopback, over TLS that is verified."""

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from meshinstall.adapters import published
from meshinstall.adapters.published import PublishedDocuments
from meshinstall.engine.report.policies import compare_published
from meshinstall.errors import IdentityError
from meshinstall.model.finding import Finding
from meshinstall.model.identity import IdentityKind, IdentityProvider, Tokens
from meshinstall.model.values import LayerKind, Origin
from tests.unit.adapters.conftest import ApiServer

pytestmark = pytest.mark.anyio

PUBLIC = {"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"}
DOCUMENT, KEYS = "/.well-known/openid-configuration", "/keys"


@pytest.fixture(autouse=True)
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority of the server is one of the system's."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def at(api: ApiServer) -> str:
    return f"https://localhost:{api.server_port}"


def serve(api: ApiServer, pages: Mapping[str, bytes]) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        body = pages.get(handler.path)
        handler.send_response(404 if body is None else 200)
        handler.send_header("Content-Length", str(len(body or b"")))
        handler.end_headers()
        handler.wfile.write(body or b"")

    api.respond = respond


def oidc(api: ApiServer, keys: Any = (PUBLIC,), **document: str) -> None:
    """A provider as it should be, but for what is named."""
    usual = {"issuer": at(api), "jwks_uri": f"{at(api)}{KEYS}"}
    serve(api, {DOCUMENT: json.dumps(usual | document).encode(), KEYS: json.dumps({"keys": list(keys)}).encode()})


async def compared(api: ApiServer) -> list[Finding]:
    origin = Origin(LayerKind.PROJECT, "meshinstall.yaml", 3, 3)
    provider = IdentityProvider("staff", IdentityKind.GENERIC, at(api), f"{at(api)}{KEYS}", ("web",), Tokens.ACCESS, True, origin)
    return list(await compare_published([provider], PublishedDocuments()))


async def test_a_provider_that_says_the_same_is_no_finding(api: ApiServer) -> None:
    oidc(api)
    assert await compared(api) == []
    assert [path for _, path, _ in api.requests] == [DOCUMENT, KEYS]


async def test_another_issuer_and_other_keys_are_said_with_both_sides(api: ApiServer) -> None:
    oidc(api, issuer=f"{at(api)}/", jwks_uri="https://other.example.com/\x1b[2Jkeys")
    first, second = await compared(api)
    assert first.code == second.code == "POL025"
    assert first.origin == "meshinstall.yaml:3:3"
    assert first.title == f"{at(api)}{DOCUMENT} has issuer {at(api)}/, and meshinstall.yaml {at(api)}"
    assert "https://other.example.com/" in second.title
    assert second.title.isprintable()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ((), "has no public key"),
        (({"kty": "oct", "k": "c2VjcmV0"},), "has no public key"),
        (({**PUBLIC, "d": "c2VjcmV0"},), "publishes a private key"),
    ],
)
async def test_keys_that_nobody_can_use_and_keys_that_everybody_can_are_said(api: ApiServer, keys: Any, said: str) -> None:
    oidc(api, keys=keys)
    assert any(said in one.title and one.code == "POL025" for one in await compared(api))


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"[" * 100_000, b"\xff\xfe"])
async def test_what_is_not_a_document_is_said_and_stops_nothing(api: ApiServer, body: bytes) -> None:
    serve(api, {DOCUMENT: body, KEYS: body})
    found = await compared(api)
    assert [one.code for one in found] == ["POL025", "POL025"]
    assert "is not a JSON document" in found[0].title


async def test_what_cannot_be_read_is_not_compared(api: ApiServer) -> None:
    serve(api, {})
    found = await compared(api)
    assert [one.code for one in found] == ["POL026", "POL026"]
    assert f"{at(api)}{DOCUMENT} answered 404" in found[0].title


async def test_a_certificate_of_an_unknown_authority_is_refused(api: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    oidc(api)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    found = await compared(api)
    assert [one.code for one in found] == ["POL026", "POL026"]
    assert "CERTIFICATE_VERIFY_FAILED" in found[0].title
    assert api.requests == []


async def test_a_redirect_is_not_followed(api: ApiServer) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{at(api)}{KEYS}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    api.respond = respond
    with pytest.raises(IdentityError, match="answered 302"):
        await PublishedDocuments().read(f"{at(api)}{DOCUMENT}")
    assert len(api.requests) == 1


async def test_a_document_without_end_is_left(api: ApiServer) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b" " * 65536)

    api.respond = respond
    with pytest.raises(IdentityError, match="sends more than 1 MiB"):
        await PublishedDocuments().read(f"{at(api)}{DOCUMENT}")


async def test_a_document_that_drips_is_left(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "_SECONDS", 0.5)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.flush()
        handler.rfile.read(1)

    api.respond = respond
    with pytest.raises(IdentityError, match="did not answer within"):
        await PublishedDocuments().read(f"{at(api)}{DOCUMENT}")


@pytest.mark.parametrize(
    ("address", "said"),
    [("https://none.invalid/x", "has a host name that cannot be resolved"), ("https://127.0.0.1:1/x", "cannot be reached (")],
)
async def test_why_a_document_is_not_read_is_told_without_the_words_of_a_library(address: str, said: str) -> None:
    with pytest.raises(IdentityError) as caught:
        await PublishedDocuments().read(address)
    assert caught.value.message.startswith(f"{address} {said}")
    assert "Connection(" not in caught.value.message
