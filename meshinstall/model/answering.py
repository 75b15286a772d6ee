"""What a proxy's own configuration says of who answers at a port."""

from dataclasses import dataclass

# With this header Envoy's router marks what came from behind it; what Envoy answers itself has none.
FROM_BEHIND = "x-envoy-upstream-service-time"


@dataclass(frozen=True, slots=True)
class Answering:
    """What is known of one port, for requests that come to it in one way.

    ``is_http``: its proxy reads them as HTTP. ``takes_plaintext``: it accepts connections without TLS. ``hides`` is why its answers
    cannot be told from those of the application, empty where they can; ``is_marked``: what has the mark did come from behind it all the
    same. ``unkeyed`` are issuers for which istiod put in a key that nobody has, as it could not read theirs.
    """

    is_http: bool
    takes_plaintext: bool
    hides: str = ""
    is_marked: bool = True
    unkeyed: tuple[str, ...] = ()
