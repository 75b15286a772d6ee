"""What the client's Envoy says of a connection that it made, or could not make."""

import re
from collections.abc import Mapping

from meshinstall.adapters.wire.tunnel import Head
from meshinstall.engine.probe import probe_objects
from meshinstall.model.foreign_text import plain, printable
from meshinstall.model.wire import Answer

# Characters of what others say.
_LONGEST = 200
# A part of its words on a connection that it could not make, and what that means.
_FAILURES: Mapping[str, tuple[Answer, str]] = {
    "Connection_refused": (Answer.NOTHING, "connection refused"),
    "connection_timeout": (Answer.SILENT, "no connection within 2 s"),
    "No_route_to_host": (Answer.SILENT, "no route to the address"),
    "Network_is_unreachable": (Answer.SILENT, "no route to the address"),
}
# The one telling part of what BoringSSL says through Envoy.
_OPENSSL = re.compile(r"OPENSSL_internal:(\w+)")


def why(head: Head) -> str:
    """Envoy's reason for a failed connection."""
    said = (head.headers.get(name, "") for name in (probe_objects.WHY, probe_objects.DETAILS))
    return next((text for text in said if text not in {"", "-"}), f"HTTP {head.status}")


def told(reason: str) -> str:
    """A reason in words for people."""
    return ", ".join(name.lower() for name in _OPENSSL.findall(reason)) or reason


def failure(reason: str) -> tuple[Answer, str]:
    """What a reason proves, and in words."""
    return next((meaning for said, meaning in _FAILURES.items() if said in reason), (Answer.FAILED, told(reason)))


def spiffe(head: Head, name: str) -> str:
    """The SPIFFE name in a header that lists a certificate's URIs."""
    return printable(next((uri for uri in head.headers.get(name, "").split(",") if uri.startswith("spiffe://")), ""))


def clean(text: str) -> str:
    """Words of others, for a line of ours."""
    return plain(text.replace("_", " "), _LONGEST)
