"""The files a user writes, as types: meshinstall.yaml and profiles/*.yaml.

Keys are camelCase in the files. Pydantic checks them, strictly, where ``validate`` is called; here they are plain dataclasses.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from meshinstall import catalog
from meshinstall.config.identity import WrittenProvider
from meshinstall.config.layer_files import PolicyFile
from meshinstall.config.source import Document
from meshinstall.config.windows import WrittenWindow
from meshinstall.errors import Problem
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import MtlsMode
from meshinstall.model.values import KeyPath, Values


@dataclass(frozen=True, slots=True)
class Istio:
    """Which Istio; what is empty, or null, is left to what is farther: the environment, the project, what this meshinstall was made for.

    ``revisions``: istiod's release is named by its minor, so that two can be beside each other; ``tags`` are further names of it.
    """

    version: str = ""
    revisions: bool | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Charts:
    """Where charts come from: oci://..., https://... or a folder, relative to meshinstall.yaml.

    ``trust``: a nightly upgrade takes what meshinstall.lock pins, or, without such a file, what the source has.
    """

    source: str = catalog.DEFAULT_CHARTS
    trust: Literal["lock", "source"] = "lock"


@dataclass(frozen=True, slots=True)
class Images:
    """Where images come from, for every component; empty leaves the chart's own."""

    hub: str = ""
    tag: str = ""
    variant: Literal["", "debug", "distroless"] = ""
    pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway, by name; ``namespace`` is its name unless written, a higher ``order`` installs later.

    From ``exposure`` on: how its load balancer is reached, in words that every cloud's own are made from.
    """

    namespace: str | None = None
    order: int | None = None
    exposure: Literal["internal", "external"] | None = None
    addresses: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    ip_families: tuple[Literal["IPv4", "IPv6"], ...] = ()
    client_address: Literal["keep", "proxyProtocol"] | None = None
    targets: Literal["ip", "instance"] | None = None
    values: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wave:
    """Namespaces whose workloads an upgrade restarts together: by name, where * is any text, or by their labels.

    ``parallel`` are workloads at once, ``soak`` is how long to wait after them.
    """

    name: str
    namespaces: tuple[str, ...] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    parallel: int = 1
    soak: str = "0s"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """How upgrades are made; what is null is left to what is farther.

    Without waves, or with an empty list of them, owners restart their workloads. ``windows`` are those of nightly upgrades.
    """

    waves: tuple[Wave, ...] | None = None
    windows: tuple[WrittenWindow, ...] | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """Which policies there are without a file; what is null is left to what is farther.

    ``deny-by-default``: in each of ``namespaces`` only the gateways may call, until a policy allows more.
    """

    baseline: Literal["none", "deny-by-default"] | None = None
    namespaces: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ca:
    """Which Secret istiod signs with: ``cacerts``; empty: its own, and what is null is left to what is farther."""

    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """One environment on one cloud: how its cluster is found, and which Istio, images, CA and values are for it alone."""

    cluster: Mapping[str, str] = field(default_factory=dict)
    istio: Istio = field(default_factory=Istio)
    images: Images = field(default_factory=Images)
    upgrade: Upgrade = field(default_factory=Upgrade)
    identity: Mapping[str, WrittenProvider | None] = field(default_factory=dict)
    policies: Policies = field(default_factory=Policies)
    ca: Ca = field(default_factory=Ca)
    values: Mapping[str, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accept:
    """That plaintext is planned up to a day."""

    until: date
    reason: str


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment: on one cloud with ``cloud`` and ``cluster``, on several with ``clouds``."""

    cloud: Cloud | None = None
    cluster: Mapping[str, str] = field(default_factory=dict)
    clouds: Mapping[Cloud, Site] = field(default_factory=dict)
    istio: Istio = field(default_factory=Istio)
    images: Images = field(default_factory=Images)
    upgrade: Upgrade = field(default_factory=Upgrade)
    identity: Mapping[str, WrittenProvider | None] = field(default_factory=dict)
    policies: Policies = field(default_factory=Policies)
    ca: Ca = field(default_factory=Ca)
    profile: str | None = None
    mtls: MtlsMode | None = None
    accept: Accept | None = None
    gateways: Mapping[str, Gateway | None] = field(default_factory=dict)
    values: Mapping[str, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """meshinstall.yaml."""

    api_version: Literal["meshinstall.dev/v1"] = "meshinstall.dev/v1"
    istio: Istio = field(default_factory=Istio)
    charts: Charts = field(default_factory=Charts)
    images: Images = field(default_factory=Images)
    upgrade: Upgrade = field(default_factory=Upgrade)
    identity: Mapping[str, WrittenProvider | None] = field(default_factory=dict)
    policies: Policies = field(default_factory=Policies)
    ca: Ca = field(default_factory=Ca)
    profile: str = catalog.DEFAULT_PROFILE
    environments: Mapping[str, Environment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """profiles/NAME.yaml; ``components`` and ``gateways`` add to those of the profile it ``extends``."""

    description: str = ""
    extends: str | None = None
    components: tuple[Literal["base", "istiod", "cni", "ztunnel"], ...] = ()
    gateways: Mapping[str, Gateway | None] = field(default_factory=dict)
    mtls: MtlsMode | None = None
    values: Mapping[str, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """One profiles/NAME.yaml."""

    document: Document
    profile: Profile


@dataclass(frozen=True, slots=True)
class Project:
    """Every file of the configuration, read and checked; of files for one thing the built-in comes first.

    ``values`` is keyed by folder and name: ("envs", "dev"). ``policies`` is None where they were not read.
    """

    folder: Path
    document: Document
    settings: Settings
    profiles: Mapping[str, tuple[ProfileFile, ...]]
    values: Mapping[tuple[str, str], tuple[Document, ...]] = field(default_factory=dict)
    policies: tuple[PolicyFile, ...] | None = None

    @property
    def environments(self) -> tuple[str, ...]:
        """Names that may be asked for: the built-in ones and the user's."""
        written = {*self.settings.environments, *(name for folder, name in self.values if folder == "envs")}
        return (*catalog.ENVIRONMENTS, *sorted(written - {*catalog.ENVIRONMENTS}))


# Names that fit a hint.
_MAX_KNOWN = 16

File = TypeVar("File")

# Kinds of pydantic's errors that a file of ours can cause, in the words of YAML.
_WORDS = {
    "dataclass_type": "must be a map",
    "mapping_type": "must be a map",
    "dict_type": "must be a map",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "missing": "is missing",
    "missing_argument": "is missing",
    "date_type": "must be a day, as 2027-01-31",
    "date_parsing": "must be a day, as 2027-01-31",
    "date_from_datetime_parsing": "must be a day, as 2027-01-31",
    "date_from_datetime_inexact": "must be a day, as 2027-01-31",
}


def validate(document: Document, as_type: type[File], problems: list[Problem]) -> File:
    """The document as ``as_type``; every key that is unknown or of a wrong type is added to ``problems``."""
    from pydantic import ValidationError

    hashable: Any = as_type
    try:
        found: File = _adapter(hashable).validate_json(json.dumps(document.values))
    except ValidationError as error:
        problems += [_explain(document, as_type, detail) for detail in error.errors(include_url=False, include_input=False)]
        return as_type()
    return found


def editor_schema(as_type: type[File], title: str) -> dict[str, Any]:
    """A JSON schema of the file, for editors."""
    hashable: Any = as_type
    found: dict[str, Any] = _without_titles(_adapter(hashable).json_schema(by_alias=True))
    # What the reader asks for itself: the type has a default.
    required = {"required": ["apiVersion"]} if as_type is Settings else {}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **found, **required}


def _without_titles(schema: Any) -> Any:
    """Pydantic makes titles of names, which an editor shows already."""
    if isinstance(schema, dict):
        return {key: _without_titles(item) for key, item in schema.items() if not (key == "title" and isinstance(item, str))}
    return [_without_titles(item) for item in schema] if isinstance(schema, list) else schema


@cache
def _adapter(as_type: Any) -> Any:
    from pydantic import TypeAdapter, with_config

    return TypeAdapter(with_config({"strict": True, "extra": "forbid", "alias_generator": _camel})(as_type))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _explain(document: Document, as_type: type[Any], detail: Mapping[str, Any]) -> Problem:
    """Turn one of pydantic's errors into words of ours, without the value that it is about."""
    path: KeyPath = tuple(str(part) for part in detail["loc"] if part != "[key]")
    if detail["type"] == "unexpected_keyword_argument":
        return document.problem(path, f"unknown key {path[-1]!r}", suggestion(path[-1], _known_keys(as_type, path[:-1])))
    text = _WORDS.get(detail["type"], detail["msg"].replace("Input should be", "must be"))
    hint = "quote it" if detail["type"] == "string_type" else ""
    return document.problem(path, f"{'.'.join(path)} {text}" if path else text, hint)


def suggestion(word: str, known: tuple[str, ...]) -> str:
    """``did you mean ...?`` when one is close, else all that is known unless that is too much to read."""
    if close := get_close_matches(word, known, n=1, cutoff=0.7):
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(known)}" if 0 < len(known) <= _MAX_KNOWN else ""


def _known_keys(as_type: type[Any], path: KeyPath) -> tuple[str, ...]:
    """Keys that the type at ``path`` below ``as_type`` takes."""
    found: Any = as_type
    for key in path:
        found = _member(found, key)
    return tuple(_camel(item.name) for item in fields(found)) if is_dataclass(found) else ()


def _member(of: Any, key: str) -> Any:
    if is_dataclass(of) and isinstance(of, type):
        hints = get_type_hints(of)
        member = next((hints[item.name] for item in fields(of) if _camel(item.name) == key), None)
    else:
        member = {Mapping: lambda: get_args(of)[-1], tuple: lambda: get_args(of)[0]}.get(get_origin(of), lambda: None)()
    if isinstance(member, UnionType):
        member = next(one for one in get_args(member) if one is not type(None))
    return member
