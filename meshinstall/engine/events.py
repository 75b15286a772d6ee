"""What a run tells while it goes on; printers and the journal listen."""

from collections.abc import Callable
from dataclasses import dataclass

from meshinstall.model.plan import Plan, Step


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The lock is held and the first step begins; ``plan`` says all that will come."""

    run: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins."""

    step: Step


@dataclass(frozen=True, slots=True)
class StepWaiting:
    """A step waits, and for what; told when that changes."""

    step: Step
    reason: str


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step is done; ``detail`` is worth a word to the user."""

    step: Step
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step failed, or was stopped half-way."""

    step: Step
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over; ``failure`` is empty when it succeeded."""

    run: str
    seconds: float
    failure: str = ""


Event = RunStarted | StepStarted | StepWaiting | StepDone | StepEnded | RunEnded
Emit = Callable[[Event], None]
