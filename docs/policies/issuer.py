"""A small OpenID Connect provider on the loopback, to try policies with: whoever asks gets a token. For nothing else.

python3 issuer.py PORT serves the discovery document, the keys, and at /token?sub=ann a token of an hour.
"""

import json
import sys
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PORT = int(sys.argv[1])
ISSUER = f"http://127.0.0.1:{PORT}"
KEY = rsa.generate_private_key(65537, 2048)


def encoded(data: bytes) -> str:
    """As tokens and keys spell bytes (RFC 7515, section 2)."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def number(value: int) -> str:
    """As keys spell numbers."""
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def keys() -> str:
    """The public key."""
    public = KEY.public_key().public_numbers()
    return json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": number(public.n), "e": number(public.e)}]})


def token(subject: str) -> str:
    """A token for the bakery."""
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": subject, "aud": "bakery", "iat": now, "exp": now + 3600}
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "one"}, claims)]
    return ".".join([*parts, encoded(KEY.sign(".".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256()))])


class Provider(BaseHTTPRequestHandler):
    """Answers each GET."""

    def do_GET(self) -> None:
        """The document, the keys, or a token."""
        url = urlsplit(self.path)
        subject = parse_qs(url.query).get("sub", ["ann"])[0]
        document = json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", "token_endpoint": f"{ISSUER}/token"})
        found = {"/.well-known/openid-configuration": document, "/keys": keys(), "/token": token(subject)}.get(url.path, "")
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(found.encode())

    def log_message(self, *_: object) -> None:
        """Tokens are asked for in paths, and not logged."""


HTTPServer(("127.0.0.1", PORT), Provider).serve_forever()
