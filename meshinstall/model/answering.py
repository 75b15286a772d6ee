"""What a proxy's own configuration says of who answers at a port."""

from dataclasses import dataclass

# With this header Envoy's router marks what came from behind it; what Envoy answers itself has none.
FROM_BEHIND = "x-envoy-upstream-service-time"


@dataclass(frozen=True, slots=True)
class Answering:
    """What is known of one port, for requests that come to it in one way.

    ``is_http``: its proxy reads them as HTTP. ``takes_anybody``: it accepts connections without a certificate of the mesh, in plaintext
    or with TLS. ``hides`` is why its answers cannot be told from those of the application, ``forges`` why what has the mark may not come
    from behind it either, ``waits`` what may hold up connections before they are judged; each is empty where nothing is. ``unkeyed`` are
    issuers for which istiod put in a key that nobody has, as it could not read theirs.
    """

    is_http: bool
    takes_anybody: bool
    hides: str = ""
    forges: str = ""
    waits: str = ""
    unkeyed: tuple[str, ...] = ()
