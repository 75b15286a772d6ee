"""Says in words what a route of an Envoy takes and what it does, the same words for what means the same; pure.

What a version of Envoy writes in another way is one thing here: an exact match of a header was a field of its own before it was a string
match. Timeouts, retries, rewrites, weights and statistics are not looked at.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.engine.objects.json_fields import at, flag, number, rows, table, text

# How a string is matched: fields of a StringMatcher, and of a HeaderMatcher in older APIs.
_STRINGS = {"exact": "is", "prefix": "starts with", "suffix": "ends with", "contains": "contains"}
_OLD = {f"{name}_match": name for name in _STRINGS}
# What of a match has words of its own; the rest is compared as it is written.
_KNOWN = frozenset({"prefix", "path", "safe_regex", "path_separated_prefix", "case_sensitive", "headers", "query_parameters"})
_REDIRECTS = (
    *("host_redirect", "port_redirect", "path_redirect", "prefix_rewrite", "scheme_redirect", "https_redirect"),
    *("regex_rewrite", "response_code", "strip_query"),
)
# The engine of a regular expression, which is the same whatever is said of it.
_ENGINES = frozenset({"google_re2"})
_OTHERWISE = "the cluster that its plugin names"


def match_words(match: Any) -> str:
    """What requests a RouteMatch takes (envoy: config/route/v3/route_components.proto)."""
    found = table(match)
    words = [_path(found), *sorted(_parameters(found))]
    if found.get("case_sensitive") is not None and not flag(found["case_sensitive"]):
        words.append("in any case")
    if rest := {name: value for name, value in found.items() if name not in _KNOWN}:
        words.append(_written(rest))
    return ", ".join(words)


def target_words(route: Any) -> tuple[str, ...]:
    """Where a Route leads: clusters by name, a header that names one, or what is answered at once."""
    if at(route, "redirect") is not None:
        told = {name: value for name, value in table(at(route, "redirect")).items() if name in _REDIRECTS}
        return (f"a redirect {_written(told)}",)
    if at(route, "direct_response") is not None:
        return (f"the answer {number(at(route, 'direct_response', 'status'))}",)
    return clusters_of(at(route, "route"))


def clusters_of(action: Any) -> tuple[str, ...]:
    """The clusters of a RouteAction or of a TcpProxy, each once."""
    if name := text(at(action, "cluster")):
        return (name,)
    if header := text(at(action, "cluster_header")):
        return (f"the cluster that header {header} names",)
    if weighted := {text(at(one, "name")) for one in rows(at(action, "weighted_clusters", "clusters"))}:
        return tuple(sorted(weighted))
    plugin = at(action, "cluster_specifier_plugin") or at(action, "inline_cluster_specifier_plugin")
    return (_OTHERWISE,) if plugin else ()


def _path(match: Mapping[str, Any]) -> str:
    if "path" in match:
        return f"path {text(match['path'])}"
    if "path_separated_prefix" in match:
        return f"path {text(match['path_separated_prefix'])} and below"
    if "safe_regex" in match:
        return f"path like {text(at(match, 'safe_regex', 'regex'))}"
    return f"path prefix {text(match.get('prefix')) or '/'}"


def _parameters(match: Mapping[str, Any]) -> Iterator[str]:
    for one in rows(match.get("headers")):
        yield f"{'not ' if flag(at(one, 'invert_match')) else ''}header {text(at(one, 'name'))} {_value(table(one))}"
    for one in rows(match.get("query_parameters")):
        yield f"parameter {text(at(one, 'name'))} {_value(table(one))}"


def _value(matcher: Mapping[str, Any]) -> str:
    """What a header or a parameter must be; its presence alone where nothing else is said."""
    found = dict(table(matcher.get("string_match")))
    found |= {new: matcher[old] for old, new in _OLD.items() if old in matcher}
    if (old := matcher.get("safe_regex_match")) is not None:
        found["safe_regex"] = old
    for name, words in _STRINGS.items():
        if name in found:
            return f"{words} {text(found[name])}{' in any case' if flag(found.get('ignore_case')) else ''}"
    if "safe_regex" in found:
        return f"is like {text(at(found['safe_regex'], 'regex'))}"
    if matcher.get("present_match") is not None and not flag(matcher["present_match"]):
        return "is absent"
    rest = {name: value for name, value in matcher.items() if name not in {"name", "invert_match", "present_match", "string_match"}}
    rest.pop("treat_missing_header_as_empty", None)
    return _written(rest) if rest else "is there"


def _written(value: Any) -> str:
    """JSON that is the same whatever the order of its fields."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if name not in _ENGINES}
    return [_plain(one) for one in value] if isinstance(value, list) else value
