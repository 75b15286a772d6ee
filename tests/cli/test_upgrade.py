"""The command ``upgrade`` as users type it: what is refused before a cluster is asked."""

import re
from pathlib import Path

import pytest

from tests.cli.running import Run

PROJECT = "apiVersion: meshinstall.dev/v1\nenvironments:\n  one: {cloud: local}\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> None:
    """One environment."""
    (tmp_path / "meshinstall.yaml").write_text(PROJECT)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("plan", "--env", "one", "--to", "latest"), "--to: 'latest' is neither a minor such as 1.31 nor a full version"),
        (("plan", "--env", "two", "--to", "1.31.1"), "there is no environment 'two'"),
        (("plan", "--to", "1.31.1"), "Missing option '--env'"),
        (("plan", "--env", "one", "--allow", "everything"), "--allow everything: unknown name"),
        (("plan", "--env", "one", "--istio-version", "1.31.1"), "No such option"),
        (("go",), "No such command 'go'"),
        (("--to", "1.31.1"), "no environment is named"),
        (("--env", "one", "--until", "lunch"), "--until lunch: no stage has this name"),
        (("--env", "one", "--on-failure", "cry"), "--on-failure cry: it is undo or hold"),
        (("continue", "--env", "one", "--require", "luck"), "--require luck: it is pass"),
        (("rollback", "--env", "one", "--to", "back"), "--to: 'back' is neither a minor such as 1.31 nor a full version"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_of_usage(run: Run, flags: tuple[str, ...], said: str) -> None:
    done = run("upgrade", *flags)
    assert done.status == 2
    assert said in done.err


def test_upgrade_alone_says_what_it_has(run: Run) -> None:
    done = run("upgrade")
    said = done.out + done.err
    assert all(re.search(rf"^  {name} +[A-Z]", said, re.MULTILINE) for name in ("plan", "status", "continue", "rollback"))
