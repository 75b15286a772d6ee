"""What happens in a run, as it happens; printers and the journal listen."""

from collections.abc import Callable
from dataclasses import dataclass

from meshinstall.model.gate import Gate
from meshinstall.model.plan import Plan, Step
from meshinstall.model.tally import ProxyTally, Requests


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins, before anything is touched; ``plan`` is all that it will do."""

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
class LockWaiting:
    """The run waits for the lock of the mesh; ``reason`` says who holds it."""

    reason: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over; ``failure`` is empty when it succeeded."""

    run: str
    seconds: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Verifying:
    """The proof of mTLS goes on; ``doing`` says what is done now, ``seconds`` since when it runs."""

    doing: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProxiesOlder:
    """After a run there are proxies older than istiod; ``text`` says where, and how they become as new."""

    text: str


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage of an upgrade begins: the ``number`` th ``of`` those that are left, with what it moves in words."""

    stage: str
    number: int
    of: int
    does: str
    moves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageWaiting:
    """A stage does, or waits for, something that is no step."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class GateJudged:
    """What a stage, or a part of it, changed was judged."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class ProxiesCounted:
    """The proxies of the mesh by revision and version, as a gate just saw them; told where they are others than before."""

    tally: ProxyTally


@dataclass(frozen=True, slots=True)
class RequestsMade:
    """The requests of a gate's own, with failures that were not told before, and ``total`` those of the run until now."""

    requests: Requests
    total: Requests


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage is over; ``end`` is how (done, held, taken back, failed), ``why`` is empty where it is done."""

    stage: str
    seconds: float
    end: str
    why: str = ""


RunEvent = RunStarted | StepStarted | StepWaiting | StepDone | StepEnded | LockWaiting | RunEnded | Verifying | ProxiesOlder
StageEvent = StageStarted | StageWaiting | GateJudged | ProxiesCounted | RequestsMade | StageEnded
Event = RunEvent | StageEvent
Emit = Callable[[Event], None]
