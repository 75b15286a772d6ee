"""The result of a check: a finding has a code, a severity, an object and a hint."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters: an error stops a run, a warning is shown."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation; ``code`` is stable and has an anchor in docs/checks.md."""

    code: str
    severity: Severity
    title: str
    detail: str = ""
    object: str = ""
    origin: str = ""
    hint: str = ""
