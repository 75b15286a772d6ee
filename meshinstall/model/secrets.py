"""Decides whether a value may be shown: wherever a value leaves the program, it is asked here first; pure."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from meshinstall.model.secret_names import KEY, inherits, names_many, names_password, names_secret
from meshinstall.model.yaml_text import load

HIDDEN = "(not shown)"

# What the formats of the issuers look like.
_SHAPES = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    # It is tried once for each run of its characters, and only before a second part: not from each eyJ to the end of a long text.
    ("a JSON web token", re.compile(r"(?<![\w-])(?=[\w-]+\.eyJ[\w-]{8,}\.)[\w-]*?\beyJ[\w-]{8,}\.", re.ASCII)),
    ("a bearer token", re.compile(r"\bbearer\s+[A-Za-z0-9._~+/-]{16,}", re.IGNORECASE)),
    ("a GitHub token", re.compile(r"\b(?:gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("an Azure storage key", re.compile(r"\bAccountKey=[A-Za-z0-9+/=]{40,}")),
    ("a password in a URL", re.compile(r"://[^/\s:@]+:[^/\s@$]+@")),
)
# A key in JSON (RFC 7517) with a member that only its owner has.
_KEY_TYPE = re.compile(r'"kty"\s*:\s*"(?:RSA|EC|OKP|oct|AKP)"')
_OWN_MEMBER = re.compile(r'"(?:d|p|q|dp|dq|qi|k|priv)"\s*:\s*"[A-Za-z0-9_-]{8,}')
# A reference, a template, a path, or a word that switches something.
_REFERENCE = re.compile(
    r"\$[({].*|.*\{\{.*|/.*|(?:vault|ref\+[a-z0-9]+|secretref|file|env):.*|true|false|none|null|disabled|enabled", re.IGNORECASE
)
SECRET_DATA = frozenset({"data", "stringData"})
# What names an item whose value is under "value".
_NAMING = ("name", "key", "header")
# Characters of a text that is read as YAML, values in it, and documents in documents.
_READ, _MOST, _DEEPEST = 200_000, 100_000, 4
# Characters of a text whose judgement is kept.
_SHORT = 200
# NAME: value, NAME=value, "NAME": value, --NAME value; a colon without a space behind it may be a part of an image's name.
# A long word is looked at once, not from each of its characters.
_START = r"(?<![A-Za-z0-9_./-])[./-]*"
_ASSIGNED = re.compile(
    rf"{_START}(?P<name>{KEY})[\"']?"
    r"(?:\s*=\s*|\s*:(?:\s+|(?=[\"'\[{])|$)|(?<=[\"'])\s*:|:(?=\S))"
    r"(?P<value>.{0,300})"
)
_FLAG = re.compile(rf"(?<!\S)--?(?P<name>{KEY})\s+(?P<value>[^\s-].*)")
_PAIR = re.compile(rf"\s*(?P<name>{KEY})\s+(?P<value>\S+)\s*")
_ITEM_NAME = re.compile(rf"""\s*(?:-\s+)?["']?(?:name|key)["']?\s*:\s*["']?(?P<name>{KEY})["']?\s*,?\s*""")
_ITEM_VALUE = re.compile(r"""\s*(?:-\s+)?["']?value["']?\s*:\s*(?P<value>\S.*)""")
_OPENS = frozenset({"", "|", "|-", "|+", ">", ">-", ">+"})


class _Said(NamedTuple):
    """A text with the names that say what it is for; ``surely`` is a secret whatever it is called."""

    names: tuple[str, ...]
    text: str
    surely: bool = False


def shape(text: str) -> str:
    """What a text is by its format, such as ``a private key``; empty when it is nothing that is known."""
    return _short_shape(text) if len(text) <= _SHORT else _shape(text)


def _shape(text: str) -> str:
    if _KEY_TYPE.search(text) and _OWN_MEMBER.search(text):
        return "a private JSON web key"
    return next((what for what, form in _SHAPES if form.search(text)), "")


_short_shape = lru_cache(maxsize=16_384)(_shape)


def is_reference(text: str) -> bool:
    """Whether a text only tells where a secret is, or switches something."""
    return bool(_REFERENCE.fullmatch(text))


def hides(value: Any, *names: str) -> bool:
    """Whether a value, or anything in it, looks like a secret; ``names`` are those that say what it is for, such as its key."""
    return any(True for _ in secrets(value, *names))


def secrets(value: Any, *names: str, depth: int = 0) -> Iterator[str]:
    """The texts in a value that are secrets; of numbers only passwords are, booleans never."""
    many = any(map(names_many, names))
    for one in _texts(value, names, many=many):
        if one.surely or _is_secret(one, depth):
            yield one.text


def shown(value: Any, *names: str) -> Any:
    """A value as it may be shown: of a text of several lines without those that hold a secret, and else the whole or nothing."""
    if not hides(value, *names):
        return value
    is_text = isinstance(value, str) and "\n" in value and not shape(value) and not any(map(names_secret, names))
    return "\n".join(_redacted(value)) if is_text and not _is_document(value) else HIDDEN


def pair(before: Any, after: Any, *names: str) -> tuple[Any, Any]:
    """Both sides of a change as they may be shown; a change that only a secret makes stays one."""
    told = shown(before, *names), shown(after, *names)
    return (HIDDEN, HIDDEN) if told[0] == told[1] and before != after else told


def texts(value: Any) -> Iterator[str]:
    """Every text and number in a value, as text."""
    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _is_secret(one: _Said, depth: int) -> bool:
    if not one.text or (is_reference(one.text) and "\n" not in one.text):
        return False
    return bool(shape(one.text)) or any(map(names_secret, one.names)) or _holds(one.text, depth)


def _texts(value: Any, names: tuple[str, ...], *, many: bool = False) -> Iterator[_Said]:
    """Every text with the names that say what it is for."""
    if isinstance(value, str):
        yield _Said(names, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        # In YAML a password of digits is a number.
        yield _Said(names, str(value) if any(map(names_password, names)) else "")
    elif isinstance(value, Mapping):
        yield from _of_map(value, names if many else ())
    elif isinstance(value, list):
        before = ""
        for item in value:
            flag = before.lstrip("-") if before.startswith("-") and isinstance(item, str) and not item.startswith("-") else ""
            yield from _texts(item, (*names, flag) if flag else names, many=many)
            before = item if isinstance(item, str) else ""


def _of_map(value: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[_Said]:
    named = tuple(name for key in _NAMING if isinstance(name := value.get(key), str)) if "value" in value else ()
    is_secret = value.get("kind") == "Secret"
    for key, item in value.items():
        own = named if key == "value" and named else (str(key),)
        many = any(map(names_many, own))
        inherited = tuple(name for name in above if isinstance(item, str) and inherits(name, str(key)))
        for one in _texts(item, (*own, *inherited), many=many):
            yield one._replace(surely=one.surely or (is_secret and key in SECRET_DATA and bool(one.text)))


def _holds(text: str, depth: int) -> bool:
    """Whether a text holds a secret: as a document, or in one of its lines; of thousands of objects most texts are the same short ones."""
    return _short_holds(text, depth) if len(text) <= _SHORT else _text_holds(text, depth)


def _text_holds(text: str, depth: int) -> bool:
    if (found := _document(text)) is not None and depth < _DEEPEST:
        return any(True for _ in secrets(found, depth=depth + 1)) or any(map(_comment_holds, text.splitlines()))
    return _redacted(text) != text.splitlines()


_short_holds = lru_cache(maxsize=16_384)(_text_holds)


def _comment_holds(line: str) -> bool:
    _, sign, comment = line.partition("#")
    return bool(sign) and _without_value(comment) != comment


def _is_document(text: str) -> bool:
    return _document(text) is not None


def _document(text: str) -> Any:
    """The map or list that is kept in a text; None when it is not one."""
    if len(text) > _READ or not ("\n" in text.strip() or text.lstrip().startswith(("{", "["))):
        return None
    try:
        found = load(text, most=_MOST)
    except ValueError:
        return None
    return found if isinstance(found, Mapping | list) else None


def _redacted(text: str) -> list[str]:
    """The lines of a text that is not a document, with the values of secrets in them hidden."""
    lines = text.splitlines()
    found: list[str] = []
    # The indentation of a name whose value is on the lines below it.
    below: int | None = None
    for index, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        below = None if below is not None and line.strip() and indent <= below else below
        if below is not None and line.strip() and not (is_reference(line.strip()) or _ASSIGNED.search(line)):
            found.append(f"{line[:indent]}{HIDDEN}")
            continue
        around = [lines[one] for one in (index - 1, index + 1) if 0 <= one < len(lines)]
        found.append(_without_value(line) if not _is_value_of(line, around) else f"{line[:indent]}{HIDDEN}")
        below = indent if _opens(line) else below
    return found


def _is_value_of(line: str, around: list[str]) -> bool:
    """Whether it is the value of an item that the line before or after it names."""
    value = _ITEM_VALUE.fullmatch(line)
    names = (found["name"] for one in around if (found := _ITEM_NAME.fullmatch(one)))
    return bool(value and not is_reference(value["value"].strip("\"'")) and any(map(names_secret, names)))


def _opens(line: str) -> bool:
    found = _ASSIGNED.search(line)
    return bool(found and found["value"].strip() in _OPENS and names_secret(found["name"]))


def _without_value(line: str) -> str:
    """A line up to the first secret in it."""
    start = 0
    while found := _ASSIGNED.search(line, start):
        value = found["value"].strip().strip("\"',")
        if _is_value(value) and names_secret(found["name"]) and not _is_image(found):
            return line[: found.start("value")] + HIDDEN
        start = found.end("name")
    for form in (_FLAG.search, _PAIR.fullmatch):
        if (other := form(line)) and names_secret(other["name"]) and _is_value(other["value"].strip("\"'")):
            return line[: other.start("value")] + HIDDEN
    return line


def _is_value(text: str) -> bool:
    return bool(text) and text not in _OPENS and not is_reference(text)


def _is_image(found: re.Match[str]) -> bool:
    """Whether a colon is that of an image's tag, or of an address."""
    between = found.string[found.end("name") : found.start("value")]
    return between == ":" and "/" in found["name"]
