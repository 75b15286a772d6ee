"""Paths as a proxy compares them.

Sources: istio, pilot/pkg/networking/core/listener_builder.go (normalisation); Envoy, source/common/http/path_utility.cc and the URL
library that it uses; source/extensions/path/uri_template_lib (templates).
"""

import re

from meshinstall.checks.authz.seen import UnknownError
from meshinstall.checks.authz.texts import Match, matching
from meshinstall.model.authz import Normalization

# What a path may hold that is read here as Envoy reads it; all other characters are seldom and have rules of their own.
_READ = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;:@=/\\]|%(?!00)[0-9A-Fa-f]{2})*", re.ASCII)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]", re.ASCII)
ONE, ANY = "{*}", "{**}"
# Characters of a segment that a template takes, and those of several segments.
_SEGMENT = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+"
_SEGMENTS = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=/]*"
_LITERAL = re.compile(r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]*", re.ASCII)


def path_of(sent: str, how: Normalization) -> str:
    """The path that rules are compared with: without query and fragment, normalised; raises UnknownError for what is not read here."""
    path = re.split(r"[?#]", sent, maxsplit=1)[0]
    if not _READ.fullmatch(path):
        raise UnknownError("a path with characters that are not read here")
    if how is Normalization.NONE:
        return path
    if how is Normalization.DECODE_AND_MERGE_SLASHES:
        path = re.sub(r"%2[Ff]", "/", path).replace("%5C", "\\").replace("%5c", "\\")
    path = _canonical(path)
    return path if how is Normalization.BASE else re.sub(r"/{2,}", "/", path)


def _canonical(path: str) -> str:
    """Without . and .., with slashes for backslashes, and nothing escaped that need not be."""
    path = _ESCAPE.sub(_unescaped, path.replace("\\", "/"))
    kept: list[str] = []
    segments = path.split("/")[1:]
    for index, segment in enumerate(segments):
        is_last = index == len(segments) - 1
        if segment == ".." and kept:
            kept.pop()
        if segment not in {".", ".."}:
            kept.append(segment)
        elif is_last:
            kept.append("")
    return "/" + "/".join(kept)


def _unescaped(escape: re.Match[str]) -> str:
    char = chr(int(escape[1], 16))
    return char if _UNRESERVED.fullmatch(char) else escape[0]


def path_matching(pattern: str) -> Match | None:
    """Compare with the path of a rule, a template where it holds {*} or {**}; None for a template that istiod refuses."""
    if not is_template(pattern):
        return matching(pattern)
    segments = pattern.strip("/").split("/")
    operators = [segment for segment in segments if segment in {ONE, ANY}]
    if ANY in operators[:-1] or not all(segment in operators or _LITERAL.fullmatch(segment) for segment in segments):
        return None
    parts = (_SEGMENT if part == ONE else _SEGMENTS if part == ANY else re.escape(part) for part in pieces_of(pattern))
    template = re.compile("".join(parts), re.ASCII)
    return lambda path: template.fullmatch(path) is not None


def is_template(pattern: str) -> bool:
    """Whether it is more than a text with * at one end."""
    return ONE in pattern or ANY in pattern


def pieces_of(template: str) -> list[str]:
    """Its texts, and {*} and {**} between them."""
    return re.split(r"(\{\*{1,2}\})", template)
