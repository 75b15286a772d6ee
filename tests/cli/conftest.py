"""The command line in this process."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshinstall.__main__ import main
from tests.cli.running import Ended, Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the entry point in an empty folder and home; a process of its own for each would cost most of the time."""
    for name in ("KUBECONFIG", "MESHINSTALL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    at_term = signal.getsignal(signal.SIGTERM)

    def one(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["meshinstall", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return Ended(int(caught.value.code or 0), printed.out, printed.err)

    yield one
    signal.signal(signal.SIGTERM, at_term)
