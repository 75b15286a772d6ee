"""Every error that meshinstall raises on purpose.

MeshinstallError                 exit code
├── UsageError                   2  options or files that do not make sense
│   └── ConfigError              2  all configuration problems, with file:line
├── ClusterError                 1  the cluster is unreachable or refuses
│   ├── ForbiddenError           1  a permission is missing
│   ├── UnauthorizedError        1  the cluster does not know the caller
│   ├── UnreachableError         1  the cluster does not answer now
│   ├── BudgetError              1  a PodDisruptionBudget allows no eviction now
│   └── ConflictError            1  somebody else owns or changed the object
├── ChartError                   1  a chart is missing, corrupt or not the pinned one
├── IdentityError                1  what an identity provider publishes cannot be read
├── HelmError                    1  a helm command failed
│   └── HelmConflictError        1  helm found fields that another manager owns
├── StepError                    1  a step of a run failed
│   └── OutOfTimeError           1  the time of a command is over
├── LockedError                  1  another run holds the lock
├── PlanRefusedError             1  the plan holds something that needs an explicit flag
├── SnapshotError                1  a snapshot cannot be taken, or is not to be trusted
└── InterruptedRunError        130  the user ended the run
"""

from dataclasses import dataclass
from enum import IntEnum


class ExitStatus(IntEnum):
    """What the exit status of every command means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CHANGES_PENDING = 3
    VIOLATION = 4
    NOT_PROVEN = 5
    INTERRUPTED = 130


class MeshinstallError(Exception):
    """What happened and to which object; ``hint`` says what to do next."""

    exit_code = ExitStatus.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def in_one_line(self) -> str:
        """What happened and what to do next, for a list of many."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(MeshinstallError):
    """Options or files that do not make sense."""

    exit_code = ExitStatus.USAGE


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file; ``line`` and ``column`` count from 1, 0 is the whole file."""

    source: str
    line: int
    column: int
    text: str
    hint: str = ""

    def __str__(self) -> str:
        """``file:line:column: text``, as editors and CI understand it."""
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        return f"{place}: {self.text}"


class ConfigError(UsageError):
    """Every problem found in the configuration, reported at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(f"{problem}{f' ({problem.hint})' if problem.hint else ''}" for problem in problems))
        self.problems = problems


class ClusterError(MeshinstallError):
    """The cluster cannot be reached, or refuses a request."""


class ForbiddenError(ClusterError):
    """The caller lacks a permission."""


class UnauthorizedError(ClusterError):
    """The cluster does not accept the caller's credentials."""


class UnreachableError(ClusterError):
    """The cluster does not answer, or not now."""


class BudgetError(ClusterError):
    """A PodDisruptionBudget allows no eviction of a pod now."""


class ConflictError(ClusterError):
    """Somebody else owns the object or changed it meanwhile."""


class ChartError(MeshinstallError):
    """A chart is missing, corrupt, or not the one that was pinned."""


class IdentityError(MeshinstallError):
    """What an identity provider publishes cannot be read."""


class HelmError(MeshinstallError):
    """A helm command failed."""


class HelmConflictError(HelmError):
    """Somebody else owns fields of objects that helm applied; ``managers`` names all of them, or is empty when some are unknown."""

    def __init__(self, message: str, hint: str = "", managers: frozenset[str] = frozenset()) -> None:
        super().__init__(message, hint)
        self.managers = managers


class StepError(MeshinstallError):
    """A step of a run failed."""


class OutOfTimeError(StepError):
    """The time of a command is over."""


class LockedError(MeshinstallError):
    """Another run holds the lock of this mesh."""


class PlanRefusedError(MeshinstallError):
    """The plan contains a change that needs an explicit flag."""


class SnapshotError(MeshinstallError):
    """A snapshot cannot be taken, or is not the one that was signed."""


class InterruptedRunError(MeshinstallError):
    """The user ended the run."""

    exit_code = ExitStatus.INTERRUPTED


def safe(text: str, kept: str = "\n") -> str:
    """The text, with a mark for each character that does not print, which a hostile cluster could aim at a terminal, but ``kept``."""
    return "".join(char if char in kept or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
