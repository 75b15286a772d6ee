"""What an upgrade is given, and how it ends."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from meshinstall.engine.events import Emit
from meshinstall.engine.staging.judging import Judges
from meshinstall.model.gate import Gate
from meshinstall.model.tally import Counted
from meshinstall.model.upgrade import StageName, UpgradePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms an upgrade runs.

    ``allow`` names findings that do not stop it; ``until`` is the last stage; ``undoes``: a stage that failed is taken back;
    ``require_pass``: what was no PASS before counts too. ``seconds`` are for each run of a stage,
    ``judges`` are who says whether it went well. ``shut`` says why nothing more may begin now, and is asked before each stage and each
    piece of one; empty while it may.
    """

    allow: frozenset[str] = frozenset()
    seconds: float = 600.0
    until: StageName | None = None
    undoes: bool = True
    require_pass: bool = False
    judges: Judges = field(default_factory=Judges)
    shut: Callable[[], str] = lambda: ""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Who hears of it: ``show`` gets the plan, ``ask`` raises unless it may be run, ``emit`` gets every event."""

    show: Callable[[UpgradePlan], None]
    ask: Callable[[UpgradePlan], Awaitable[None]]
    emit: Emit


class End(StrEnum):
    """How an upgrade, or a stage of it, ends."""

    DONE = "done"
    # Something is left that others do, or the last stage that was asked for is done.
    HELD = "held"
    # Between two pieces: nothing more may begin now.
    PAUSED = "paused"
    NOT_PROVEN = "not proven"
    UNDONE = "taken back"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """How an upgrade ended: at which stage, why, what is ``left`` to others, and what ``to_write`` into the files, in words.

    ``is_back``: it was the way back. ``counted`` is what its gates counted: what was done after the last of them is not in it.
    """

    plan: UpgradePlan
    end: End
    stage: str = ""
    why: str = ""
    left: tuple[str, ...] = ()
    to_write: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    is_back: bool = False
    counted: Counted = field(default_factory=Counted)
