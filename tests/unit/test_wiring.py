"""What the composition root reads of the machine it runs on."""

import getpass
import os

import pytest

from meshinstall import wiring


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 1234"), OSError("No username set in the environment")])
def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def nameless() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    assert wiring._who().startswith("uid-1234@")  # noqa: SLF001 - a session is too much to open for it
