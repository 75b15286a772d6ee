"""A write that is tried before it is made: what is sent, and what the API server says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

from meshinstall.model.facts import ObjectKey
from meshinstall.model.release import Manifest, ReleaseKey

# The manager that helm writes as (helm: pkg/kube/client.go, the name of the program).
HELM_FIELD_MANAGER = "helm"


class Write(StrEnum):
    """How an object is written."""

    CREATE = "create"
    APPLY = "apply"
    STRATEGIC_MERGE = "strategic merge"
    MERGE = "merge"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One write: ``path`` is the object's, for CREATE its collection's."""

    write: Write
    path: str
    body: Manifest
    manager: str = HELM_FIELD_MANAGER
    force: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of a refusal: ``kind`` is the API server's word, such as FieldValueInvalid."""

    kind: str
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server says of an attempt; ``status`` is HTTP's, below 400 when it would be done."""

    status: int
    message: str = ""
    causes: tuple[Cause, ...] = ()
    warnings: tuple[str, ...] = ()
    made: Manifest = field(default_factory=dict)

    @property
    def is_accepted(self) -> bool:
        """Whether the write would be done."""
        return self.status < HTTPStatus.BAD_REQUEST


class How(StrEnum):
    """How far an object was tried."""

    TRIED = "tried"
    ELSEWHERE = "tried in another namespace"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Trial:
    """An object of a plan and how far it was tried; ``why`` it was not tried as it will be sent. ``release`` is None for our own."""

    key: ObjectKey
    release: ReleaseKey | None
    how: How
    why: str = ""


# Verbs of what is stored, and not only computed when it is asked for.
STORED = frozenset({"list", "delete"})


@dataclass(frozen=True, slots=True)
class ApiKind:
    """A kind that the API server serves; ``stored``: its objects can be listed and deleted."""

    plural: str
    namespaced: bool
    stored: bool = True


# By apiVersion and kind.
Kinds = Mapping[tuple[str, str], ApiKind]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a rendering depends on besides its values: Kubernetes' version without the v, and the kinds that are served."""

    kubernetes: str
    kinds: Kinds = field(default_factory=dict)

    @property
    def served(self) -> tuple[str, ...]:
        """As charts ask for them: ``apps/v1`` and ``apps/v1/Deployment``."""
        versions = dict.fromkeys(version for version, _ in self.kinds)
        return (*versions, *(f"{version}/{kind}" for version, kind in self.kinds))
