"""What an identity provider publishes, held against what the configuration says of it.

Sources: OpenID Connect Discovery 1.0, section 4; RFC 7517; envoy, jwt_authn (RSA, EC, OKP and oct keys).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.checks.policies.reading import items, table, word
from meshinstall.checks.policies.tokens import PRIVATE_MEMBERS
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.identity import IdentityProvider, discovery_of

# Characters of a text of theirs in a finding.
_SHOWN = 300


def compare_document(provider: IdentityProvider, body: bytes) -> Iterator[Finding]:
    """Where a provider's discovery document has another issuer, or other keys."""
    found, url = _json(body), discovery_of(provider.issuer)
    if found is None:
        yield _different(provider, f"{url} is not a JSON document", "is the issuer right?")
        return
    for name, ours in (("issuer", provider.issuer), ("jwks_uri", provider.keys)):
        if (theirs := word(found.get(name))) != ours:
            title = f"{url} has {name} {theirs[:_SHOWN] or '(none)'}, and meshinstall.yaml {ours}"
            yield _different(provider, title, "write it letter by letter as the provider has it, if you trust that this is the provider")


def judge_keys(provider: IdentityProvider, body: bytes) -> Iterator[Finding]:
    """What is wrong with the keys that a provider publishes."""
    keys = [table(one) for one in items((_json(body) or {}).get("keys"))]
    if not any(word(one.get("kty")) in {"RSA", "EC", "OKP"} for one in keys):
        yield _different(provider, f"{provider.keys} has no public key: every token is refused", "is jwksUri right?")
    if any(PRIVATE_MEMBERS & one.keys() for one in keys):
        yield _different(provider, f"{provider.keys} publishes a private key: everybody makes tokens", "the provider must replace it now")


def not_read(provider: IdentityProvider, reason: str, hint: str) -> Finding:
    """That a provider's document could not be compared, and why."""
    return _finding("POL026", Severity.WARNING, provider, f"not compared: {reason}", hint)


def _different(provider: IdentityProvider, title: str, hint: str) -> Finding:
    return _finding("POL025", Severity.ERROR, provider, title, hint)


def _finding(code: str, severity: Severity, provider: IdentityProvider, title: str, hint: str) -> Finding:
    at = provider.origin
    return Finding(
        code, severity, plain(title), "", f"identity provider {provider.name}", f"{at.source}:{at.line}:{at.column}", plain(hint)
    )


def _json(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
