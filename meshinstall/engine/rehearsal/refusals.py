"""Reads what the API server says of an attempt: what it is that it refuses, or that it did not judge the object at all; pure."""

import re
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from meshinstall.model.trial import Answer

# kubernetes: apiserver pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage
_NO_PERMISSION = re.compile(r'cannot \w+ resource "')
_IMMUTABLE = re.compile(r"field is immutable|may not be changed|cannot be changed|updates to \w+ spec .* are forbidden", re.IGNORECASE)
# kubernetes: apiserver pkg/admission/plugin/webhook
_NO_DRY_RUN = re.compile(r"does not support dry run")
_NO_WEBHOOK = re.compile(r"failed calling webhook")
_UNKNOWN_FIELD = re.compile(
    r"strict decoding error|field not declared in schema|unknown field|cannot unmarshal|failed to create typed patch object"
)
_MANAGER = re.compile(r'conflicts? with "(?P<manager>[^"]+)"')
_CONFLICT = "FieldManagerConflict"


class Reading(StrEnum):
    """What an answer means."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    IMMUTABLE = "immutable"
    CONFLICT = "conflict"
    NOT_JUDGED = "not judged"
    NO_PERMISSION = "no permission"


@dataclass(frozen=True, slots=True)
class Read:
    """An answer as it was understood.

    ``fields`` are those that it names; ``shape``: the object itself is wrong, whatever its namespace; ``managers`` are a conflict's.
    """

    reading: Reading
    text: str = ""
    fields: frozenset[str] = frozenset()
    shape: bool = False
    managers: frozenset[str] = frozenset()

    def is_still(self, other: "Read") -> bool:
        """Whether another answer refuses the same; the words hold values, so the fields decide where they are told."""
        if self.fields and other.fields:
            return bool(self.fields & other.fields)
        return self.text == other.text


ACCEPTED = Read(Reading.ACCEPTED)


def read(answer: Answer) -> Read:
    """What an answer to a dry run means."""
    if answer.is_accepted:
        return ACCEPTED
    fields = frozenset(cause.field for cause in answer.causes if cause.field)
    shape = answer.status == HTTPStatus.UNPROCESSABLE_ENTITY or bool(_UNKNOWN_FIELD.search(answer.message))
    return Read(_reading(answer, shape=shape), answer.message, fields, shape, _managers(answer))


def _reading(answer: Answer, *, shape: bool) -> Reading:
    text = " ".join((answer.message, *(cause.message for cause in answer.causes)))
    if answer.status == HTTPStatus.NOT_FOUND or _NO_DRY_RUN.search(text) or _NO_WEBHOOK.search(text):
        return Reading.NOT_JUDGED
    if answer.status == HTTPStatus.FORBIDDEN and _NO_PERMISSION.search(text):
        return Reading.NO_PERMISSION
    if _managers(answer):
        return Reading.CONFLICT
    if shape:
        return Reading.IMMUTABLE if _IMMUTABLE.search(text) else Reading.REFUSED
    return Reading.NOT_JUDGED if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else Reading.REFUSED


def _managers(answer: Answer) -> frozenset[str]:
    """Who owns the fields that are in the way (apimachinery: pkg/util/managedfields/internal/conflict.go)."""
    told = (cause.message for cause in answer.causes if cause.kind == _CONFLICT)
    return frozenset(found["manager"] for message in told for found in _MANAGER.finditer(message))
