"""The command line as users type it, without a cluster: every mistake ends in a sentence and an exit status."""

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from meshinstall.cli.app import app
from meshinstall.cli.root import LISTED
from tests.cases import commands as reference
from tests.cli.running import Run

SHARED = {"--env", "--cloud", "--config", "--profile"}
CLUSTER = {"--context", "--kubeconfig"}
CHARTS = {"--charts", "--istio-version"}
VALUES = {"-f, --values", "--set ", "--set-string"}
COMMANDS = {
    "up": SHARED | CLUSTER | CHARTS | VALUES | {"--plan", "--yes", "--no-verify", "--timeout", "--allow", "-o, --output"},
    "plan": SHARED | CLUSTER | CHARTS | VALUES | {"--save", "-o, --output"},
    "down": SHARED | CLUSTER | {"--crds", "--yes", "--timeout"},
    "status": SHARED | CLUSTER | {"-o, --output"},
    "proxies": SHARED | CLUSTER | {"-o, --output"},
    "explain": SHARED | CHARTS | VALUES | {"-o, --output"},
    "verify": {"--env", "--cloud", "--namespace", "--sample", "--read-only", "--html", "--junit", "--timeout", "-o, --output"} | CLUSTER,
    "check": {"--env", "--cloud", "--pre", "-o, --output"} | CLUSTER,
    "lint": SHARED | CHARTS | VALUES | {"--timeout", "-o, --output"},
    "init": set(),
    "lock": SHARED | CHARTS | {"--update"},
}


def test_the_version_is_the_packages(run: Run) -> None:
    done = run("--version")
    assert done.status == 0
    assert done.out == f"meshinstall {version('meshinstall')}\n"
    assert done.err == ""


def test_help_lists_every_command(run: Run) -> None:
    done = run("--help")
    assert done.status == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in done.out] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_lists_its_options(run: Run, command: str) -> None:
    done = run(command, "-h")
    assert done.status == 0
    assert done.err == ""
    assert sorted(option for option in COMMANDS[command] if option not in done.out) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("updown",), "No such command 'updown'"),
        (("plan",), "Missing option '--env'"),
        (("plan", "--env", "dev", "--cloud", "mars"), "'mars' is not one of 'aks', 'eks', 'gke', 'local'"),
        (("plan", "--env", "dev", "--colour"), "--colour"),
        (("plan", "--enviroment", "dev"), "No such option '--enviroment'. Did you mean '--env'?"),
        (("lint", "--istio", "1.31.0"), "No such option '--istio'. Did you mean '--istio-version'?"),
        (("lint", "--foo"), "No such option '--foo'.\n"),
        (("up", "--env", "dev", "--timeout", "soon"), "'soon' is not a valid float"),
        (("up", "--env", "dev", "--timeout", "0"), "Invalid value for '--timeout': 0.0 is not in the range x>=1."),
        (("up", "--env", "dev", "--cloud", "local", "--allow", "all"), "--allow all: unknown name"),
        (("plan", "--env", "dev", "--cloud", "local"), "no kubeconfig at ~/.kube/config"),
        (("status", "--env", "dev", "--cloud", "local"), "no kubeconfig at ~/.kube/config"),
        (("down", "--env", "dev", "--cloud", "local"), "no kubeconfig at ~/.kube/config"),
        (("plan", "--env", "dev", "--cloud", "local", "--kubeconfig", "gone"), "no kubeconfig at "),
        (("plan", "--env", "nowhere", "--cloud", "local"), "nowhere"),
        (("plan", "--env", "dev", "--cloud", "local", "--profile", "huge"), "huge"),
        (("plan", "--env", "dev", "--cloud", "local", "--config", "gone.yaml"), "gone.yaml"),
        (("plan", "--env", "dev", "--cloud", "local", "--set", "nonsense"), "--set: has no ="),
        (("plan", "--env", "dev", "--cloud", "local", "-f", "istiod=gone.yaml"), "gone.yaml"),
        (("explain", "ztunnel", "--env", "dev", "--cloud", "local"), "profile default of environment dev does not install ztunnel"),
    ],
)
def test_a_mistake_is_a_sentence_and_status_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert done.out == ""
    assert said in done.err
    assert "Traceback" not in done.err


def test_all_problems_of_a_file_come_at_once_with_their_places(run: Run, tmp_path: Path) -> None:
    (tmp_path / "meshinstall.yaml").write_text("apiVersion: meshinstall.dev/v1\nenvironmnts: {}\nprofile: 7\n")
    done = run("plan", "--env", "dev", "--cloud", "local")
    assert done.status == 2
    assert [line for line in ("meshinstall.yaml:2:", "meshinstall.yaml:3:") if line not in done.err] == []
    assert "Traceback" not in done.err


def kubeconfig(folder: Path, server: str = "https://127.0.0.1:1") -> Path:
    """A context at an address where nobody is."""
    file = folder / "config.json"
    named = [{"name": "dev", "cluster": {"server": server}}], [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}]
    users = [{"name": "dev", "user": {"token": "hunter2"}}]
    file.write_text(json.dumps({"current-context": "dev", "clusters": named[0], "contexts": named[1], "users": users}))
    return file


def test_a_cluster_that_is_away_is_named_without_its_token(run: Run, tmp_path: Path) -> None:
    done = run("plan", "--env", "dev", "--cloud", "local", "--kubeconfig", str(kubeconfig(tmp_path)))
    assert done.status == 1
    assert done.out == ""
    assert "meshinstall: the API server https://127.0.0.1:1 does not answer: " in done.err
    assert "hint: check that the cluster is running" in done.err
    assert "Traceback" not in done.err
    assert "hunter2" not in done.err


def test_a_check_before_an_install_reaches_for_the_cluster_too(run: Run, tmp_path: Path) -> None:
    done = run("check", "--pre", "--env", "dev", "--cloud", "local", "--kubeconfig", str(kubeconfig(tmp_path)))
    assert done.status == 1
    assert "meshinstall: the API server https://127.0.0.1:1 does not answer: " in done.err


def test_a_wrong_context_names_those_that_are_there(run: Run, tmp_path: Path) -> None:
    done = run("plan", "--env", "dev", "--cloud", "local", "--kubeconfig", str(kubeconfig(tmp_path)), "--context", "prod")
    assert done.status == 2
    assert "no context 'prod'" in done.err
    assert "(it has: dev)" in done.err


def test_an_example_to_start_from_is_written_once(run: Run, tmp_path: Path) -> None:
    assert run("init").status == 0
    assert (tmp_path / "meshinstall.yaml").exists()
    again = run("init")
    assert again.status == 2
    assert "exists already" in again.err


def test_a_process_ends_with_the_status_of_its_error_and_no_traceback() -> None:
    command = [sys.executable, "-m", "meshinstall", "plan", "--env", "dev", "--cloud", "local", "--kubeconfig", "/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("meshinstall: no kubeconfig at /nowhere\n  hint: ")


@pytest.mark.parametrize(("typed", "meant"), [("pln", "plan"), ("verfy", "verify"), ("cluster", "clusters")])
def test_a_mistyped_command_is_answered_with_the_nearest(run: Run, typed: str, meant: str) -> None:
    done = run(typed)
    assert done.status == 2
    assert f"No such command '{typed}'. Did you mean {meant}?" in done.err


def test_a_word_that_is_like_no_command_is_only_refused(run: Run) -> None:
    done = run("xyzzy")
    assert done.status == 2
    assert "No such command 'xyzzy'." in done.err
    assert "Did you mean" not in done.err


def test_clusters_asks_for_nothing_but_a_cloud(run: Run) -> None:
    done = run("clusters")
    assert done.status == 2
    assert done.err == "meshinstall: no cloud is named\n  hint: add --cloud aks, eks or gke\n"


HEAVY = ("jsonschema", "kubernetes", "pydantic", "pyhelm3", "rich", "ruamel", "typer", "urllib3", "yaml")


@pytest.mark.parametrize(
    "modules", ["meshinstall.cli.root", "meshinstall.cli.commands.credential, meshinstall.wiring"], ids=["help", "credential"]
)
def test_what_is_waited_for_imports_nothing_heavy(modules: str) -> None:
    program = f"import sys, {modules}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("cloud", ["aks", "eks", "gke"])
def test_a_credential_needs_no_description_of_clusters_and_no_words_for_refusals(cloud: str) -> None:
    unneeded = ("meshinstall.model.cluster", "meshinstall.adapters.cloud.refusals", f"meshinstall.adapters.{cloud}.refusals")
    modules = f"meshinstall.cli.commands.credential, meshinstall.wiring, meshinstall.adapters.{cloud}.provider"
    program = f"import sys, {modules}; print([name for name in {unneeded} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_users_shell_can_complete_commands(run: Run, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_MESHINSTALL_COMPLETE", f"{shell}_source")
    done = run()
    assert done.status == 0
    assert "_MESHINSTALL_COMPLETE" in done.out


def test_the_reference_says_what_the_commands_say() -> None:
    assert reference.FILE.read_text() == reference.text(), "scripts/golden writes it anew"


def test_the_help_names_every_command_that_there_is() -> None:
    for module in {module for module, _ in LISTED.values()}:
        import_module(f"meshinstall.cli.commands.{module}")
    by_typer = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    assert by_typer | groups == set(LISTED) - {"credential"}
