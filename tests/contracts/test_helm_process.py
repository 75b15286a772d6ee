"""Helm as a process: what it sees, and that it ends when it must, whatever it does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from meshinstall.adapters.helm import process
from meshinstall.adapters.helm.client import PyHelm
from meshinstall.adapters.helm.process import GRACE
from meshinstall.errors import HelmError
from meshinstall.model.cluster import Access
from meshinstall.model.release import ReleaseKey
from meshinstall.model.trial import Ground
from testbed.waiting import until

pytestmark = pytest.mark.anyio

KEY = ReleaseKey("istio-system", "istiod")
FakeHelm = Callable[[str], PyHelm]


@pytest.fixture
def fake_helm(tmp_path: Path) -> FakeHelm:
    """A helm that answers ``version`` and else runs a shell script."""

    def write(script: str) -> PyHelm:
        program = tmp_path / "helm"
        program.write_text(f'#!/bin/sh\nif [ "$1" = version ]; then echo v4.3.1; exit; fi\ncd {tmp_path}\n{script}\n')
        program.chmod(0o755)
        return PyHelm(
            Access("mesh", "https://mesh", tmp_path / "kubeconfig", "the context; rm -rf /", frozenset({"AZURE_CLIENT_SECRET"})),
            str(program),
        )

    return write


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Callable[[], list[int]]]:
    """Process ids that a fake helm wrote into *.pid; these processes end with the test."""

    def read() -> list[int]:
        return [int(file.read_text()) for file in sorted(tmp_path.glob("*.pid")) if file.read_text().strip()]

    yield read
    for pid in read():
        if runs(pid):
            os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def template(helm: PyHelm) -> str:
    return await helm.template(KEY, Path("/charts/istiod.tgz"), {"colour": "blue"}, Ground("1.36.3"))


async def test_helm_gets_its_words_without_a_shell_and_the_values_by_stdin(fake_helm: FakeHelm) -> None:
    helm = fake_helm('printf "%s\\n" "$@"; cat')

    *argv, stdin = (await template(helm)).splitlines()

    assert argv[:3] == ["template", "istiod", "/charts/istiod.tgz"]
    assert argv[-2:] == ["--kube-context", "the context; rm -rf /"]
    assert json.loads(stdin) == {"colour": "blue"}


async def test_helm_keeps_the_environment_for_exec_plugins_but_not_its_own_settings(
    fake_helm: FakeHelm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "staging")
    monkeypatch.setenv("HELM_NAMESPACE", "elsewhere")
    monkeypatch.setenv("HELM_KUBETOKEN", "secret")
    monkeypatch.setenv("HELM_DRIVER", "configmap")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "another cloud's")

    seen = dict(line.partition("=")[::2] for line in (await template(fake_helm("env"))).splitlines())

    assert seen["AWS_PROFILE"] == "staging"
    assert "AZURE_CLIENT_SECRET" not in seen
    assert {name: value for name, value in seen.items() if name.startswith("HELM_")} == {"HELM_DRIVER": "secret", "HELM_NO_PLUGINS": "1"}


async def cancelled_once(begun: Callable[[], bool], helm: PyHelm) -> float:
    """Cancel a template when its helm has ``begun``; the seconds until it has ended."""
    async with anyio.create_task_group() as group:
        group.start_soon(template, helm)
        await anyio.to_thread.run_sync(until, begun, 20, lambda: "helm does not begin")
        started = time.monotonic()
        group.cancel_scope.cancel()
    return time.monotonic() - started


async def test_cancelling_ends_a_helm_that_ignores_sigterm_and_the_child_that_holds_its_pipes(
    fake_helm: FakeHelm, children: Callable[[], list[int]]
) -> None:
    helm = fake_helm("trap '' TERM\nsleep 60 & echo $! >child.pid\necho $$ >helm.pid\nwhile :; do wait; done")

    assert await cancelled_once(lambda: len(children()) == 2, helm) < GRACE + 1
    # Killed, and gone as soon as the kernel gets to it.
    until(lambda: not any(runs(pid) for pid in children()), 10, lambda: f"still there: {children()}")


PROGRAM = """
import sys, anyio
from pathlib import Path
from meshinstall.adapters.helm.client import PyHelm
from meshinstall.model.release import ReleaseKey
helm = PyHelm(executable=sys.argv[1])
anyio.run(helm.uninstall, ReleaseKey("istio-system", "istiod"))
"""


def test_a_helm_that_never_got_its_values_does_not_begin(tmp_path: Path) -> None:
    """A run that is killed between the start of helm and its input closes the pipe: an end of input is no empty values."""
    begun = tmp_path / "begun"
    with subprocess.Popen([*process.GATE, "/bin/sh", "-c", f"cat; touch {begun}"], stdin=subprocess.PIPE) as helm:
        assert helm.stdin
        helm.stdin.close()
        assert helm.wait(20) == 125
    assert not begun.exists()


def test_helm_and_what_it_started_end_with_a_run_that_is_killed(
    fake_helm: FakeHelm, children: Callable[[], list[int]], tmp_path: Path
) -> None:
    fake_helm("sleep 60 & echo $! >child.pid\necho $$ >helm.pid\nwait")
    running = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "helm")], cwd=Path(__file__).parents[2])
    until(lambda: len(children()) == 2, 20, lambda: f"helm runs: {children()}")
    running.kill()
    running.wait()
    until(lambda: not any(runs(pid) for pid in children()), 10, lambda: f"still there: {children()}")


async def test_cancelling_lets_helm_finish_what_it_does_on_sigterm(fake_helm: FakeHelm, tmp_path: Path) -> None:
    helm = fake_helm("trap 'echo failed >record; exit 1' TERM\ntouch begun\nwhile :; do sleep 0.05; done")

    await cancelled_once((tmp_path / "begun").exists, helm)

    assert (tmp_path / "record").read_text() == "failed\n"


async def test_a_child_that_outlives_helm_and_holds_its_pipes_does_not_delay_the_answer(
    fake_helm: FakeHelm, children: Callable[[], list[int]]
) -> None:
    helm = fake_helm("setsid sleep 60 & echo $! >child.pid\necho done")

    with anyio.fail_after(5):
        assert await template(helm) == "done\n"

    assert [runs(pid) for pid in children()] == [True]


async def test_a_helm_that_does_not_read_its_values_is_no_problem(fake_helm: FakeHelm) -> None:
    helm = fake_helm("exec <&-; echo fine")

    assert await helm.template(KEY, Path("/c.tgz"), {"big": "x" * 500_000}, Ground("1.36.3")) == "fine\n"


async def test_a_helm_that_writes_without_end_is_ended(fake_helm: FakeHelm) -> None:
    with pytest.raises(HelmError, match="wrote more than 64 MiB and was stopped"):
        await template(fake_helm("exec yes"))


async def test_a_killed_helm_is_a_failure(fake_helm: FakeHelm) -> None:
    with pytest.raises(HelmError, match=r"helm was killed \(SIGKILL\)"):
        await template(fake_helm("kill -9 $$"))


async def test_no_helm_says_how_to_install_one() -> None:
    with pytest.raises(HelmError, match="/nowhere/helm cannot be started: No such file or directory") as caught:
        await PyHelm(executable="/nowhere/helm").version()

    assert caught.value.hint.startswith("install Helm 3.18.0 or newer (https://helm.sh/docs/intro/install/)")


@pytest.mark.parametrize(
    ("answer", "version"),
    [("v4.3.1", "4.3.1"), ("v3.18.0\n", "3.18.0"), ("v3.22.0+gabcdef", "3.22.0"), ("v4.4.0-rc.1", "4.4.0-rc.1")],
)
async def test_versions_that_do(tmp_path: Path, answer: str, version: str) -> None:
    assert await answering(tmp_path, answer).version() == version


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("v3.17.4", "helm 3.17.4 is too old: 3.18.0 or newer is needed"),
        ("v2.17.0", "helm 2.17.0 is too old"),
        ("", "`helm version` answered '', which is not a version"),
        ("Welcome!\nv4.3.1", "answered 'Welcome!"),
        ("\x1b[31mv4", "answered 'v4', which"),
    ],
)
async def test_versions_that_do_not(tmp_path: Path, answer: str, message: str) -> None:
    with pytest.raises(HelmError) as caught:
        await answering(tmp_path, answer).version()

    assert message in caught.value.message


async def test_the_version_is_asked_once(tmp_path: Path) -> None:
    helm = answering(tmp_path, "v4.3.1", "echo >>asked")

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(helm.version)

    assert (tmp_path / "asked").read_text() == "\n"


@pytest.mark.parametrize("key", [ReleaseKey("istio-system", "--post-renderer=x"), ReleaseKey("a/b", "istiod"), ReleaseKey("", "x")])
async def test_a_name_that_helm_could_take_for_an_option_is_refused(fake_helm: FakeHelm, key: ReleaseKey) -> None:
    with pytest.raises(HelmError, match="is not a valid release name"):
        await fake_helm("echo").upgrade(key, Path("/c.tgz"), {}, description="x")


async def test_an_upgrade_whose_answer_is_no_json_is_an_error(fake_helm: FakeHelm) -> None:
    with pytest.raises(HelmError, match="succeeded but did not print the release"):
        await fake_helm("echo hello").upgrade(KEY, Path("/c.tgz"), {}, description="x")


def answering(folder: Path, answer: str, script: str = "") -> PyHelm:
    """A helm whose ``version`` answers so."""
    (folder / "answer").write_text(answer)
    program = folder / "helm"
    program.write_text(f"#!/bin/sh\ncd {folder}\n{script}\ncat answer\n")
    program.chmod(0o755)
    return PyHelm(executable=str(program))
