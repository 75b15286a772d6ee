"""Judges what came back for a request: what the policies did to it, where that can be known.

Envoy's router marks every answer of an application with a header, and an application cannot take it away. So what has no mark is the
proxy's own, unless its configuration says that it leaves marks out, or writes answers anew. Then a refusal proves nothing. Of the proxy's
own answers only those count that its filters for policies give: a redirection, for example, may be a service's that decides by CUSTOM.
"""

import re
from http import HTTPStatus

from meshinstall.model.answering import FROM_BEHIND, Answering
from meshinstall.model.authz import Http, Outcome, Request, Verdict
from meshinstall.model.foreign_text import plain
from meshinstall.model.wire import End, Reply

# What Envoy says (source/extensions/filters/http/rbac/rbac_filter.cc; google/jwt_verify_lib, status.cc).
_RBAC = "RBAC: access denied"
_AUDIENCE = "Audiences in Jwt are not allowed"
_TOKENS = ("Jwt ", "Jwks ")
_CHALLENGE = "Bearer realm="
# Characters of an answer that are shown, and as many together as no word has, but parts of a token have.
_SHOWN = 80
_LONG = re.compile(r"[\w.+/=-]{16,}", re.ASCII)


def judge_reply(request: Request, reply: Reply, proxy: Answering) -> Verdict:
    """What happened to a request; undecided where it is not known who did it."""
    if request.principal and reply.end is not End.FAILED and reply.identity != f"spiffe://{request.principal}":
        return _unknown(f"the caller's certificate says {reply.identity or 'nothing'}, and not spiffe://{request.principal}")
    if not request.principal and reply.end is End.RESET and not proxy.takes_anybody:
        return Verdict(Outcome.DENY, "its proxy closed the connection: it takes none without a certificate of the mesh")
    if request.http is None:
        return _of_tcp(request, reply, proxy)
    if reply.end is not End.HEAD:
        return _unknown(f"the call got no answer of HTTP: {reply.words}")
    if not proxy.is_http:
        return _unknown(f"answered {reply.words}, but its proxy reads this port as TCP: its application may say anything")
    return _of_http(request.http, reply, proxy)


def _of_tcp(request: Request, reply: Reply, proxy: Answering) -> Verdict:
    if proxy.is_http:
        return _unknown("its proxy reads this port as HTTP: write a request of HTTP")
    if reply.end not in {End.BYTES, End.HEAD, End.HELD}:
        return _unknown(f"{reply.words}: its proxy and its application would look the same")
    if proxy.waits:
        return _unknown(f"{reply.words}, and it is unknown whether the connection was judged: {proxy.waits}")
    if request.principal or proxy.takes_anybody:
        return Verdict(Outcome.ALLOW, "the connection was taken: it answered, or was kept open")
    return _unknown(f"{reply.words}, but by its configuration its proxy takes no connection without a certificate of the mesh")


def _of_http(http: Http, reply: Reply, proxy: Answering) -> Verdict:
    if FROM_BEHIND in reply.headers and proxy.forges:
        return _unknown(f"answered {reply.words}, and it is unknown who did: {proxy.forges}")
    if FROM_BEHIND in reply.headers:
        return Verdict(Outcome.ALLOW, f"what is behind the proxy answered {reply.words}")
    refusal = _refusal(reply)
    if refusal is None:
        return _unknown(f"answered {reply.words}, and no policy refuses so: {_text(http, reply)}")
    if proxy.hides:
        return _unknown(f"answered {reply.words}, and it is unknown who did: {proxy.hides}")
    return Verdict(refusal, f"its proxy answered {reply.words}: {plain(_LONG.sub('…', reply.body), _SHOWN)}{_keys(http, refusal, proxy)}")


def _refusal(reply: Reply) -> Outcome | None:
    """What Envoy's own words mean."""
    if reply.status == HTTPStatus.FORBIDDEN and reply.body in {_RBAC, _AUDIENCE}:
        return Outcome.DENY
    challenged = reply.headers.get("www-authenticate", "").startswith(_CHALLENGE)
    is_of_tokens = reply.status == HTTPStatus.UNAUTHORIZED and challenged and reply.body.startswith(_TOKENS)
    return Outcome.UNAUTHENTICATED if is_of_tokens else None


def _text(http: Http, reply: Reply) -> str:
    """What an answer says, if it cannot be the request's own token."""
    return "with a text that may repeat the token" if http.token and reply.body else plain(reply.body, _SHOWN) or "without a text"


def _keys(http: Http, refusal: Outcome, proxy: Answering) -> str:
    """Why every token of an issuer is refused."""
    issuer = http.token.claims.get("iss") if http.token else None
    if refusal is not Outcome.UNAUTHENTICATED or issuer not in proxy.unkeyed:
        return ""
    why = f"istiod could not read the keys of {plain(issuer, _SHOWN)}, so every token of it is refused"
    return f"; {why}: look for 'JWKS fetch failed' in istiod's log"


def _unknown(reason: str) -> Verdict:
    return Verdict(Outcome.UNDECIDED, reason)
