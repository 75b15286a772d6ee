"""Credential helpers and identity tokens: asked as docker and helm ask them, and named when they do not answer."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from meshinstall.adapters.charts.credential_helper import HelperError, ask
from meshinstall.errors import ChartError
from meshinstall.ports import Charts
from testbed.waiting import until
from tests.contracts.registries import IDENTITY, LOGIN, SCOPE, Registry, answers, helper, kind
from tests.contracts.servers import DIGEST, chart, serving

pytestmark = pytest.mark.anyio

BASIC = {"challenge": 'Basic realm="charts"', "accepts": (LOGIN,)}
NOT_FOUND = "echo credentials not found in native keychain; exit 1"


@dataclass(frozen=True)
class User:
    """Somebody with a folder of programs on PATH and files of logins; ``store`` runs as them."""

    store: Charts
    start: Callable[[type[Registry]], str]
    programs: Path
    environment: pytest.MonkeyPatch

    def config(self, content: Any, variable: str = "DOCKER_CONFIG") -> Path:
        """Write docker's configuration, or helm's."""
        folder = self.programs.parent / variable
        folder.mkdir()
        file = folder / "config.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        self.environment.setenv(variable, str(folder if variable == "DOCKER_CONFIG" else file))
        return file

    async def digest(self, host: str) -> str:
        """The digest of the registry's chart."""
        return (await self.store.resolve(chart(host))).digest

    async def failure(self, host: str) -> ChartError:
        """Why it cannot be told."""
        with pytest.raises(ChartError) as caught:
            await self.digest(host)
        return caught.value


@pytest.fixture
def user(store: Charts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[User]:
    """A user without any login."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with ExitStack() as servers:
        yield User(store, lambda handler: servers.enter_context(serving(handler)), folder, monkeypatch)


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
@pytest.mark.parametrize("handler", [{}, BASIC], ids=["token", "basic"])
async def test_a_helper_is_asked(user: User, key: str, handler: dict[str, Any]) -> None:
    host = user.start(kind(**handler))
    helper(user.programs, "mine", f'[ "$server" = {host} ] || exit 7\n{answers("me", "hunter2")}')
    user.config({key: {host: "mine", "other.example.org": "absent"} if key == "credHelpers" else "mine"})

    assert await user.digest(host) == DIGEST


async def test_the_helper_of_a_registry_comes_before_the_one_for_all(user: User) -> None:
    host = user.start(kind())
    helper(user.programs, "mine", answers("me", "hunter2"))
    user.config({"credHelpers": {host: "mine"}, "credsStore": "absent"})

    assert await user.digest(host) == DIGEST


@pytest.mark.parametrize("key", ["credHelpers", "auths"])
async def test_an_identity_token_is_given_to_the_token_service_as_docker_does(user: User, key: str) -> None:
    handler = kind()
    host = user.start(handler)
    helper(user.programs, "mine", answers("<token>", IDENTITY))
    user.config({key: {host: "mine" if key == "credHelpers" else {"auth": "MDAwOg==", "identitytoken": IDENTITY}}})

    assert await user.digest(host) == DIGEST
    assert handler.forms == [
        {"grant_type": ["refresh_token"], "client_id": ["meshinstall"], "refresh_token": [IDENTITY], "service": [host], "scope": [SCOPE]}
    ]


async def test_a_registry_token_is_given_to_the_registry(user: User) -> None:
    handler = kind()
    host = user.start(handler)
    user.config({"auths": {host: {"registrytoken": "t-1"}}})

    assert await user.digest(host) == DIGEST
    assert {path for _, _, path, _ in handler.asked} == {"/v2/charts/demo/manifests/1.0.0"}


async def test_a_helper_is_asked_once_for_all_charts(user: User, tmp_path: Path) -> None:
    host = user.start(kind())
    helper(user.programs, "mine", f"echo x >>{tmp_path / 'count'}\n{answers('me', 'hunter2')}")
    user.config({"credsStore": "mine"})

    for _ in range(3):
        await user.store.fetch(await user.store.resolve(chart(host)))
    assert (tmp_path / "count").read_text() == "x\n"


async def test_where_a_helper_has_nothing_the_next_file_counts(user: User) -> None:
    host = user.start(kind())
    helper(user.programs, "empty", NOT_FOUND)
    user.config({"credsStore": "empty"}, "HELM_REGISTRY_CONFIG")
    user.config({"auths": {host: {"username": "me", "password": "hunter2"}}})

    assert await user.digest(host) == DIGEST


LEAKED = "s3cr3t-of-the-helper"
BAD_HELPERS = [
    (None, "docker-credential-mine is not on PATH"),
    (NOT_FOUND, "docker-credential-mine has no login for it"),
    ("echo '{}'", "docker-credential-mine has no login for it"),
    (f"echo {LEAKED}; exit 3", "docker-credential-mine exited with status 3"),
    (f"echo {LEAKED}; echo first >&2; printf 'no \\033[31mkeychain' >&2; exit 3", "exited with status 3: no \ufffd[31mkeychain"),
    (f"echo {LEAKED}", "docker-credential-mine did not print a login in JSON"),
    ("exit 0", "docker-credential-mine did not print a login in JSON"),
    (f'echo \'{{"Username": 1, "Secret": ["{LEAKED}"]}}\'', "docker-credential-mine did not print a login in JSON"),
    (f"yes {LEAKED}", "docker-credential-mine printed more than 64 KiB"),
    (f"yes {LEAKED} >&2", "docker-credential-mine printed more than 64 KiB"),
]


@pytest.mark.parametrize(("script", "problem"), BAD_HELPERS)
async def test_a_helper_without_an_answer_is_named_with_a_way_out(user: User, script: str | None, problem: str) -> None:
    host = user.start(kind())
    if script is not None:
        helper(user.programs, "mine", script)
    file = user.config({"credHelpers": {host: "mine"}})

    error = await user.failure(host)

    assert error.message.startswith(f"http://{host}/v2/charts/demo/manifests/1.0.0 answered 401: the registry needs a login")
    assert problem in error.message
    assert f"({file} names it for {host})" in error.message
    # Not `helm registry login`: it would store the login where the helper has it from.
    assert error.hint == (
        f"see what it answers: `echo {host} | docker-credential-mine get`; or set REGISTRY_AUTH_FILE to a config.json with the credentials"
    )
    assert LEAKED not in f"{error.message} {error.hint}"


async def test_a_public_registry_does_not_need_the_helper(user: User) -> None:
    host = user.start(kind(do_GET=lambda request: request.serve(request.path)))
    user.config({"credsStore": "absent"})
    assert await user.digest(host) == DIGEST


@pytest.mark.parametrize("name", ["../mine", "a/b", "", ".hidden", "a b", "-x", "a\nb"])
def test_a_helper_is_a_name_and_no_path(user: User, name: str) -> None:
    helper(user.programs, "mine", answers("me", "x"))
    with pytest.raises(HelperError, match="is not on PATH"):
        ask(name, "host", lambda: 5.0)


def test_a_program_of_the_current_folder_is_no_helper(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(user.programs, "mine", answers("me", "x"))
    monkeypatch.chdir(user.programs)
    monkeypatch.setenv("PATH", ".:")
    with pytest.raises(HelperError, match="is not on PATH"):
        ask("mine", "host", lambda: 5.0)


def test_a_helper_gets_no_shell(user: User, tmp_path: Path) -> None:
    helper(user.programs, "mine", f'printf %s "$server" >{tmp_path / "asked"}; {answers("me", "x")}')
    ask("mine", f"host; touch {tmp_path / 'pwned'} $(touch {tmp_path / 'pwned'})", lambda: 5.0)
    assert (tmp_path / "asked").read_text().startswith("host; touch")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("script", ["sleep 1000", "exec >&- 2>&-; sleep 1000", "trap '' TERM; sleep 1000 & sleep 1000"])
def test_a_helper_that_hangs_is_ended_with_all_that_it_started(user: User, tmp_path: Path, script: str) -> None:
    helper(user.programs, "mine", f"echo $$ >{tmp_path / 'pid'}\n{script}")
    with pytest.raises(HelperError, match=r"did not (answer|end) within 0.5 s"):
        ask("mine", "host", lambda: 5.0, patience=0.5)
    group = (tmp_path / "pid").read_text().strip()

    def is_gone() -> bool:
        return subprocess.run(["pgrep", "--runstates", "S,R,D", "-g", group], check=False, capture_output=True).returncode == 1

    assert until(is_gone, 10, lambda: "a child of the helper still runs")


def test_a_child_that_keeps_the_pipes_does_not_keep_the_answer(user: User) -> None:
    helper(user.programs, "mine", f"sleep 1000 &\n{answers('me', 'x')}")
    assert ask("mine", "host", lambda: 5.0, patience=20) == ("me", "x")


def test_the_deadline_of_the_operation_ends_a_helper(user: User) -> None:
    helper(user.programs, "mine", "sleep 1000")

    def passed() -> float:
        raise ChartError("took longer")

    with pytest.raises(ChartError, match="took longer"):
        ask("mine", "host", passed)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('{"auths": []}', ""),
        ('{"auths": [1]}', "auths is not an object"),
        ('{"credHelpers": "x"}', "credHelpers is not an object"),
        ('{"auths": {"HOST": "x"}}', "the entry for HOST is not an object"),
        ('{"auths": {"HOST": {"auth": "bWU="}}}', "auth of HOST is not base64 of NAME:PASSWORD"),
        ('{"auths": {"HOST": {"auth": "h\u00fcnter2"}}}', "auth of HOST is not base64 of NAME:PASSWORD"),
        ("[" * 10_000, "it is not JSON"),
        ("", ""),
    ],
)
async def test_a_file_that_is_broken_is_named(user: User, content: str, why: str) -> None:
    host = user.start(kind())
    file = user.config(content.replace("HOST", host))

    error = await user.failure(host)

    assert (f"the registry logins in {file} cannot be read: {why.replace('HOST', host)}" == error.message) == bool(why)
    assert "helm registry login" in error.hint or why


@pytest.mark.tools
@pytest.mark.parametrize("program", ["helm3", "helm4"])
@pytest.mark.parametrize(
    "case",
    [
        ({"auths": {"HOST": {"auth": LOGIN.removeprefix("Basic ")}}}, "", True),
        ({"auths": {"http://HOST/v1/": {"auth": LOGIN.removeprefix("Basic ")}}}, "", True),
        ({"auths": {"HOST": {"identitytoken": IDENTITY}}}, "", True),
        ({"auths": {"HOST": {"registrytoken": "t-1"}}}, "", True),
        ({"credHelpers": {"HOST": "mine"}}, answers("me", "hunter2"), True),
        ({"credHelpers": {"HOST": "mine"}}, answers("<token>", IDENTITY), True),
        ({"credsStore": "mine"}, answers("me", "hunter2"), True),
        ({"credsStore": "mine", "credHelpers": {"HOST": "absent"}}, answers("me", "hunter2"), False),
        ({"credHelpers": {"HOST": "mine"}}, answers("me", "wrong"), False),
        ({"credHelpers": {"HOST": "mine"}}, NOT_FOUND, False),
        ({"credHelpers": {"HOST": "mine"}}, "exit 1", False),
        ({"credHelpers": {"localhost": "mine"}}, answers("me", "hunter2"), False),
    ],
)
@pytest.mark.parametrize("variable", ["DOCKER_CONFIG", "HELM_REGISTRY_CONFIG"])
async def test_the_real_helm_gets_in_with_the_same_files_where_we_do(
    user: User, request: pytest.FixtureRequest, program: str, case: tuple[Any, str, bool], variable: str
) -> None:
    content, script, passes = case
    host = user.start(kind())
    user.config(json.dumps(content).replace("HOST", host), variable)
    helper(user.programs, "mine", script)
    home = user.programs.parent
    argv = [request.getfixturevalue(program), "pull", f"oci://{host}/charts/demo", "--version", "1.0.0", "--plain-http", "-d", home]
    pulled = await anyio.run_process(argv, check=False, env={**os.environ, "HOME": str(home)})

    assert (pulled.returncode == 0, (home / "demo-1.0.0.tgz").exists()) == (passes, passes), pulled.stderr
    if passes:
        assert await user.digest(host) == DIGEST
    else:
        await user.failure(host)
