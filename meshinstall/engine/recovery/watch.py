"""Measures the phases of a restore by the events of its run."""

from collections.abc import Callable

from meshinstall.engine.events import Emit, Event, RunEnded, RunStarted, StepDone, StepStarted, Verifying
from meshinstall.engine.recovery.terms import REMOVAL, Phase
from meshinstall.model.labels import TAG
from meshinstall.model.plan import ObjectStep, ReleaseStep, Step
from meshinstall.model.release import Component

PLAN, PREPARE, PLANE, GATEWAYS, OBJECTS, PROVE, COMPARE = (
    "plan",
    "lock, namespaces and CA",
    "control plane",
    "gateways",
    "policies, routes and labels",
    "proof of mTLS",
    "comparison",
)


class Watch:
    """Hears a run and tells ``emit``; a phase lasts until the next one begins."""

    def __init__(self, clock: Callable[[], float], emit: Emit) -> None:
        self._clock = clock
        self._emit = emit
        self._seconds: dict[str, float] = {}
        self._now = ""
        self._since = 0.0

    def hear(self, event: Event) -> None:
        """Pass an event on."""
        match event:
            case RunStarted():
                self.begin(PREPARE)
            case StepStarted(step=step) | StepDone(step=step):
                self.begin(max(_phase(step), self._now, key=_rank))
            case Verifying():
                self.begin(PROVE)
            case RunEnded():
                self.begin("")
        self._emit(event)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Those that there were, in their order."""
        return tuple(Phase(name, self._seconds[name]) for name in sorted(self._seconds, key=_rank))

    def begin(self, name: str) -> None:
        """A phase begins; with an empty name nothing is measured until the next one."""
        if name == self._now:
            return
        now = self._clock()
        if self._now:
            self._seconds[self._now] = self._seconds.get(self._now, 0.0) + now - self._since
        self._now, self._since = name, now


_ORDER = ("", PLAN, PREPARE, PLANE, GATEWAYS, OBJECTS, PROVE, COMPARE, REMOVAL)


def _rank(name: str) -> int:
    return _ORDER.index(name)


def _phase(step: Step) -> str:
    if isinstance(step, ReleaseStep):
        return GATEWAYS if step.component is Component.GATEWAY else PLANE
    if step.name.startswith("namespace/"):
        return PREPARE
    is_tag = isinstance(step, ObjectStep) and TAG in (step.manifest["metadata"].get("labels") or {})
    return PLANE if is_tag else OBJECTS
