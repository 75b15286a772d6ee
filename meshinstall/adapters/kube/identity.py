"""Who a request says it is from: the bearer token, and whom it is to be taken for."""

from collections.abc import Iterator

from meshinstall.adapters.kube.kubeconfig import Kubeconfig, refuse_plain

# Go: net/http, isTokenTable, without the percent sign, which begins an escaped byte (client-go: transport, headerKeyEscape).
_LEGAL = frozenset(b"!#$&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def headers(config: Kubeconfig, token: str) -> Iterator[tuple[str, str]]:
    """Names and values of headers, a name as often as it has values; raises ClusterError before a token would go out readable."""
    if token:
        refuse_plain(config)
        yield "Authorization", f"Bearer {token}"
    if (other := config.impersonate) is None:
        return
    yield "Impersonate-User", other.user
    if other.uid:
        yield "Impersonate-Uid", other.uid
    for group in other.groups:
        yield "Impersonate-Group", group
    for key, values in other.extra.items():
        for value in values:
            yield f"Impersonate-Extra-{_escaped(key)}", value


def as_bytes_of_utf8(value: str) -> str:
    """The text whose Latin-1, which http.client sends, are the bytes of ``value`` in UTF-8, which Go sends."""
    return value.encode().decode("latin-1")


def _escaped(key: str) -> str:
    return "".join(chr(byte) if byte in _LEGAL else f"%{byte:02X}" for byte in key.encode())
