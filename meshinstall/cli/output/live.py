"""Progress on a terminal: finished steps scroll by, running ones show what they wait for and how long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from meshinstall.cli.output.event_text import event_text, summarise
from meshinstall.engine.events import Emit, Event, RunEnded, RunStarted, StepDone, StepEnded, StepStarted, StepWaiting
from meshinstall.errors import safe

# Redraws in a second; enough for a clock.
_RATE = 4


class _Board:
    """The running steps, drawn anew at every refresh."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        # What each waits for, and since when.
        self.waits: dict[str, tuple[str, float]] = {}

    def hear(self, event: Event) -> bool:
        """Keep what an event says of a step that runs; whether the event is also worth a line that stays."""
        match event:
            case StepStarted(step=step):
                self.started[step.name] = time.monotonic()
            case StepWaiting(step=step, reason=reason):
                self.waits[step.name] = (reason, time.monotonic())
            case StepDone(step=step) | StepEnded(step=step):
                self.started.pop(step.name, None)
                self.waits.pop(step.name, None)
                return True
            case _:
                return True
        return False

    def __rich__(self) -> Group:
        return Group(*(self._line(name) for name in self.started))

    def _line(self, name: str) -> Text:
        now = time.monotonic()
        # A reason that is longer than a line goes on in the next.
        line = Text(f"… {name} {now - self.started[name]:.0f} s  ", style="yellow", overflow="fold")
        if name not in self.waits:
            return line
        reason, since = self.waits[name]
        return line.append(f"waits {now - since:.0f} s: {safe(reason)}".replace("\n", " "), style="default")


@contextmanager
def live() -> Iterator[Emit]:
    """Draw events on stderr; the board is there while a run goes on, so that a person can be asked before it."""
    console = Console(stderr=True, highlight=False)
    board = _Board()
    screen = Live(board, console=console, refresh_per_second=_RATE, transient=True)
    done: list[StepDone] = []

    def tell(event: Event) -> None:
        if isinstance(event, RunStarted):
            screen.start()
        if isinstance(event, RunEnded):
            screen.stop()
        if board.hear(event):
            _scroll(console, event)
        if summary := summarise(event, done):
            console.print(Text(summary))

    try:
        yield tell
    finally:
        screen.stop()


def _scroll(console: Console, event: Event) -> None:
    failed = isinstance(event, StepEnded) or (isinstance(event, RunEnded) and event.failure)
    if text := event_text(event):
        console.print(Text(safe(text), style="red" if failed else "green" if isinstance(event, StepDone) else "default"))
