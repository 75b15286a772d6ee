"""Reads what the API server serves, and what it says of a dry run."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from meshinstall.model.foreign_text import line
from meshinstall.model.trial import STORED, Answer, ApiKind, Cause

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
# RFC 7234: code, agent, text.
_WARNING = re.compile(r'\d{3} \S+ "(?P<text>(?:[^"\\]|\\.)*)"')
# Of one answer, and characters of one text.
_MOST = 50
_LONGEST = 1000


def kinds(answer: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], ApiKind]]:
    """Of an aggregated discovery (apidiscovery.k8s.io/v2) every kind, by apiVersion and kind; nothing of another document."""
    if answer.get("kind") != "APIGroupDiscoveryList":
        return
    for group in _maps(answer.get("items")):
        name = str(_map(group.get("metadata")).get("name") or "")
        for version in _maps(group.get("versions")):
            api_version = f"{name}/{version.get('version')}" if name else str(version.get("version"))
            for resource in _maps(version.get("resources")):
                kind = _map(resource.get("responseKind")).get("kind")
                stored = STORED.issubset(verb for verb in resource.get("verbs") or () if isinstance(verb, str))
                yield (api_version, str(kind)), ApiKind(str(resource.get("resource")), resource.get("scope") == "Namespaced", stored)


def answer(status: int, body: Mapping[str, Any], warnings: Sequence[str]) -> Answer:
    """An API server's answer to a dry run; its words are shortened and hold no line breaks."""
    told = tuple(_short(found["text"].replace('\\"', '"')) for text in warnings[:_MOST] if (found := _WARNING.match(text)))
    if status < HTTPStatus.BAD_REQUEST:
        return Answer(status, warnings=told, made=body)
    listed = _maps(_map(body.get("details")).get("causes"))
    causes = (Cause(_short(one.get("reason")), _short(one.get("field")), _short(one.get("message"))) for one in listed)
    return Answer(status, _short(body.get("message") or body.get("reason") or f"HTTP {status}"), tuple(causes)[:_MOST], told)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: Any) -> Iterable[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def _short(value: Any) -> str:
    return line(str(value or ""))[:_LONGEST]
