"""Names whose value is a secret itself: by their last words, however the words are put together; pure."""

import re
from functools import lru_cache

# A name as it is written in a text.
KEY = r"[A-Za-z0-9_][A-Za-z0-9_./-]*"

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN = re.compile(r"[^A-Za-z0-9]+")
# secretName, existingSecret, tokenAudience or passwordFile are none of them.
_LAST = re.compile(
    r"(?:password|passwd|passphrase|pwd|token|credential|dockerconfigjson|authorization"
    r"|(?:api|access|secret|private|account|encryption|signing|master)_?key"
    r"|(?:client|shared|app|auth|jwt|session|webhook|cookie|signing|hmac)_?secret)s?$"
    r"|(?:^|_)(?:pass|cookie|basic_auth)$|^secrets?$"
)
_PASSWORD = re.compile(r"(?:password|passwd|passphrase|pwd)$")
_MANY = re.compile(r"(?:password|token|secret|key)s$|credentials?$")
_POINTS = re.compile(r"(?:name|namespace|ref|file|path|kind|type|url|host|key)$", re.IGNORECASE)
_ENVIRONMENT = re.compile(r"[A-Z0-9_]+_SECRETS?")
_SECRETS_ALONE = re.compile(r".*[/.]secrets?", re.IGNORECASE)


@lru_cache(maxsize=4096)
def names_secret(name: str) -> bool:
    """Whether the value of what is called so is a secret, if it is a text: DB_PASSWORD, example.com/token, accessKey."""
    return bool(_LAST.search(_words(name)) or _ENVIRONMENT.fullmatch(name) or _SECRETS_ALONE.fullmatch(name))


def names_password(name: str) -> bool:
    """Whether it is a password, which may be all digits; the number of tokens is not a secret."""
    return bool(_PASSWORD.search(_words(name)))


def names_many(name: str) -> bool:
    """Whether what is called so holds several secrets by their owners: tokens, credentials."""
    return names_secret(name) and bool(_MANY.search(_words(name)))


def inherits(above: str, key: str) -> bool:
    """Whether a text below ``above`` is one of its secrets: of tokens by their owners each is, but not what names a Secret or a file."""
    return names_many(above) and not _POINTS.search(key)


def _words(name: str) -> str:
    return "_".join(word for word in _BETWEEN.split(_CAMEL.sub("_", name)) if word).lower()
