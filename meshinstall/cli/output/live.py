"""Progress on a terminal: finished steps scroll by, running ones show what they wait for and how long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from meshinstall.cli.output.event_text import event_text
from meshinstall.engine.events import Emit, Event, RunEnded, StepDone, StepEnded, StepStarted, StepWaiting
from meshinstall.errors import safe

# Redraws in a second; enough for a clock.
_RATE = 4


class _Board:
    """The running steps, drawn anew at every refresh."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}
        self.waits: dict[str, str] = {}

    def __rich__(self) -> Group:
        return Group(*(self._line(name) for name in self.started))

    def _line(self, name: str) -> Text:
        seconds = time.monotonic() - self.started[name]
        line = Text(f"… {name} {seconds:.0f} s  ", style="yellow", no_wrap=True, overflow="ellipsis")
        return line.append(safe(self.waits.get(name, "")).replace("\n", " "), style="default")


@contextmanager
def live() -> Iterator[Emit]:
    """Draw events on stderr while the block runs."""
    console = Console(stderr=True, highlight=False)
    board = _Board()
    with Live(board, console=console, refresh_per_second=_RATE, transient=True) as screen:

        def tell(event: Event) -> None:
            match event:
                case StepStarted(step=step):
                    board.started[step.name] = time.monotonic()
                case StepWaiting(step=step, reason=reason):
                    board.waits[step.name] = reason
                case StepDone(step=step) | StepEnded(step=step):
                    board.started.pop(step.name, None)
                    board.waits.pop(step.name, None)
                    _scroll(screen.console, event)
                case _:
                    _scroll(screen.console, event)

        yield tell


def _scroll(console: Console, event: Event) -> None:
    failed = isinstance(event, StepEnded) or (isinstance(event, RunEnded) and event.failure)
    if text := event_text(event):
        console.print(Text(safe(text), style="red" if failed else "green" if isinstance(event, StepDone) else "default"))
