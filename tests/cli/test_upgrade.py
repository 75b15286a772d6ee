"""The command ``upgrade`` as users type it: what is refused before a cluster is asked."""

import json
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
        (("--env", "one", "--nightly", "--yes", "--to", "1.31.1"), "--nightly goes where the files say, and takes no --to"),
        (("--env", "one", "--nightly", "--yes", "--allow", "eol"), "--nightly takes no --allow eol"),
        (("--env", "one", "--nightly", "--yes", "--junit", "gone/night.xml"), "--junit gone/night.xml: cannot be written"),
        (("--env", "one", "--metrics", "night.prom"), "--junit and --metrics are of --nightly"),
        (("--env", "one", "--nightly", "--yes", "--html", "night.html"), "--html is not of --nightly"),
        (("continue", "--env", "one", "--html", "gone/page.html"), "--html gone/page.html: cannot be written"),
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


CLOSED = "upgrade:\n  windows:\n    - {kind: allow, schedule: '0 0 29 2 *', duration: 1m, timeZone: Europe/Berlin}\n"


def test_a_night_outside_of_its_windows_is_one_line_and_asks_no_cluster(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meshinstall.yaml").write_text(PROJECT + CLOSED)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    done = run("upgrade", "--env", "one", "--nightly", "--yes", "--metrics", "night.prom", "--junit", "night.xml")
    assert done.status == 0
    assert re.fullmatch(r"night one: outside its windows, .* \(\d s\)\n", done.out)
    assert done.err == ""
    assert 'result="outside"} 1.0' in (tmp_path / "night.prom").read_text()
    assert "<skipped" in (tmp_path / "night.xml").read_text()
    assert (tmp_path / "summary.md").read_text().startswith("### Night of `one`: outside")


def test_a_night_without_its_cluster_has_a_line_and_files_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    done = run("upgrade", "--env", "one", "--nightly", "--yes", "--metrics", "night.prom", "-o", "json")
    assert done.status == 2
    assert json.loads(done.out.splitlines()[-1])["end"] == "failed"
    assert json.loads(done.out.splitlines()[-1])["exitStatus"] == 2
    assert 'result="failed"} 1.0' in (tmp_path / "night.prom").read_text()


def test_explain_shows_the_windows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "meshinstall.yaml").write_text(PROJECT + CLOSED)
    done = run("explain", "upgrade", "windows", "--env", "one")
    assert done.out.splitlines()[0] == "allow 0 0 29 2 * for 1m Europe/Berlin  (meshinstall.yaml:6)"
    both = run("explain", "upgrade", "--env", "one").out
    assert both.endswith(f"\n\n{done.out}")
    assert "owners" in both.partition("\n\n")[0]
