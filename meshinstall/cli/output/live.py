"""Progress on a terminal: what is finished scrolls by, what runs is below it with what it waits for and how long."""

import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

from meshinstall.cli.output.event_text import event_text, requests_failed, summarise, tally_text
from meshinstall.engine.events import (
    Emit,
    Event,
    GateJudged,
    ProxiesCounted,
    RequestsMade,
    RunEnded,
    RunStarted,
    StageEnded,
    StageStarted,
    StageWaiting,
    StepDone,
    StepEnded,
    StepStarted,
    StepWaiting,
    Verifying,
)
from meshinstall.errors import safe
from meshinstall.model.gate import GateOutcome

# Redraws in a second; enough for a clock.
_RATE = 4
_MINUTE = 60
# Columns that a terminal has at least.
_NARROW = 20
_OF_GATES = {GateOutcome.PASS: "green", GateOutcome.NOT_PROVEN: "yellow", GateOutcome.FAIL: "red"}
_OF_ENDS = {"done": "green", "held": "yellow"}


def clock(seconds: float) -> str:
    """``12 s``, or ``3 min 05 s``."""
    minutes, rest = divmod(int(seconds), _MINUTE)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@dataclass
class _Upgrade:
    """An upgrade that runs since ``begun``: its stage, what that does now, and what was counted last; times are monotonic."""

    begun: float = field(default_factory=time.monotonic)
    stage: StageStarted | None = None
    since: float = 0.0
    doing: tuple[str, float] | None = None
    proxies: str = ""
    requests: str = ""

    def hear(self, event: Event) -> bool:
        """Keep what an event says; whether the event is also worth a line that stays."""
        now = time.monotonic()
        match event:
            case StageStarted():
                self.stage, self.since, self.doing = event, now, None
            case StageWaiting(reason=reason):
                return self._do(reason)
            case Verifying(doing=doing):
                return self._do(f"gate: {doing}")
            case ProxiesCounted(tally=tally):
                self.proxies = tally_text(tally)
            case RequestsMade(total=total):
                self.requests = f"{total.asked}, {requests_failed(total)}"
            case GateJudged() | StepStarted():
                self.doing = None
            case StageEnded():
                self.stage, self.doing = None, None
            case _:
                pass
        # Each stage has runs, and itself says when it is done.
        return not isinstance(event, RunStarted | RunEnded)

    def _do(self, what: str) -> bool:
        if self.doing is None or self.doing[0] != what:
            self.doing = (what, time.monotonic())
        return False

    def head(self) -> Iterator[str]:
        """The stage with its time, and what was counted."""
        now, stage = time.monotonic(), self.stage
        here = f"stage {stage.number} of {stage.of}, {stage.stage}: {clock(now - self.since)}; " if stage else ""
        yield f"… {here}upgrade: {clock(now - self.begun)}"
        yield from (f"  {name}: {words}" for name, words in (("proxies", self.proxies), ("own requests", self.requests)) if words)

    def work(self) -> Iterator[str]:
        """What is done now, where that is no step."""
        if self.doing:
            what, since = self.doing
            yield f"  {clock(time.monotonic() - since)}: {what}"


class _Board:
    """What runs, drawn anew at every refresh."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        # What each waits for, and since when.
        self.waits: dict[str, tuple[str, float]] = {}
        self.upgrade: _Upgrade | None = None

    def hear(self, event: Event) -> bool:
        """Keep what an event says of what runs; whether the event is also worth a line that stays."""
        match event:
            case StepStarted(step=step):
                self.started[step.name] = time.monotonic()
            case StepWaiting(step=step, reason=reason):
                self.waits[step.name] = (reason, time.monotonic())
            case StepDone(step=step) | StepEnded(step=step):
                self.started.pop(step.name, None)
                self.waits.pop(step.name, None)
            case StageWaiting() | StageStarted() if self.upgrade is None:
                self.upgrade = _Upgrade()
            case _:
                pass
        is_worth = not isinstance(event, StepStarted | StepWaiting)
        return self.upgrade.hear(event) and is_worth if self.upgrade else is_worth

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Text]:
        steps = [self._line(name) for name in self.started]
        lines = [*self.upgrade.head(), *(steps or self.upgrade.work())] if self.upgrade else steps
        for line in lines:
            first, *more = _wrapped(safe(line).replace("\n", " "), options.max_width)
            yield Text(first, style="yellow", overflow="fold")
            yield from (Text(part, overflow="fold") for part in more)

    def _line(self, name: str) -> str:
        now = time.monotonic()
        line = f"{'  ' if self.upgrade else '… '}{name} {clock(now - self.started[name])}"
        if name not in self.waits:
            return line
        reason, since = self.waits[name]
        return f"{line}  waits {clock(now - since)}: {reason}"


@contextmanager
def live() -> Iterator[Emit]:
    """Draw events on stderr; the board is there while a run goes on, so that a person can be asked before it.

    That of an upgrade stays from its first stage to the end of the block: between two runs it waits, looks and judges.
    """
    console = Console(stderr=True, highlight=False)
    board = _Board()
    screen = Live(board, console=console, auto_refresh=False, transient=True)
    done: list[StepDone] = []
    drawing = threading.Lock()

    def tell(event: Event) -> None:
        with drawing:
            is_worth = board.hear(event)
            if isinstance(event, RunStarted) or board.upgrade:
                screen.start()
            if isinstance(event, RunEnded) and not board.upgrade:
                screen.stop()
            if is_worth:
                _scroll(console, event)
            if (summary := summarise(event, done)) and not board.upgrade:
                console.print(Text(summary))

    try:
        with _redrawing(screen, drawing):
            yield tell
    finally:
        screen.stop()


@contextmanager
def _redrawing(screen: Live, drawing: threading.Lock) -> Iterator[None]:
    """Draw it again and again, for the clocks, and never while a line is written.

    Live's own thread counts the lines that it goes up before it waits for whoever writes, and then draws over a line that is to stay.
    """
    over = threading.Event()

    def redraw() -> None:
        while not over.wait(1 / _RATE):
            with drawing:
                if screen.is_started:
                    screen.refresh()

    thread = threading.Thread(target=redraw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _scroll(console: Console, event: Event) -> None:
    if text := safe(event_text(event)):
        lines = (
            text.split("\n")
            if isinstance(event, StepEnded)
            else [part for line in text.split("\n") for part in _wrapped(line, console.width)]
        )
        console.print(Text("\n".join(lines), style=_style(event)), soft_wrap=isinstance(event, StepEnded))


def _wrapped(line: str, width: int) -> list[str]:
    """A line within the terminal, what follows its first part indented below it."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, max(width, _NARROW), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _style(event: Event) -> str:
    match event:
        case StepEnded():
            style = "red"
        case RunEnded(failure=failure):
            style = "red" if failure else "default"
        case GateJudged(gate=gate):
            style = _OF_GATES[gate.outcome]
        case StageStarted():
            style = "bold"
        case StageEnded(end=end):
            style = _OF_ENDS.get(end, "red")
        case StepDone():
            style = "green"
        case _:
            style = "default"
    return style
