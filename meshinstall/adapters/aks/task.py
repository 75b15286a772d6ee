"""A request to Azure, for errors about it."""

from dataclasses import dataclass

from meshinstall.errors import ForbiddenError


@dataclass(frozen=True, slots=True)
class Task:
    """A request to Azure: what we are doing, the permission it needs, the built-in role that grants it, and the role's scope."""

    doing: str
    permission: str = ""
    role: str = ""
    scope: str = ""


class MissingPermissionError(ForbiddenError):
    """A role would allow it; ``permission`` is what is missing, empty where Azure does not say."""

    def __init__(self, message: str, hint: str, permission: str) -> None:
        super().__init__(message, hint)
        self.permission = permission
