"""A credential plugin runs as client-go runs it: its prompts are seen, its answer is a token or a certificate, and it runs when it must."""

import json
import os
import pty
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from meshinstall.adapters.kube import portforward
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.kubeconfig import ExecPlugin, Kubeconfig, load
from meshinstall.adapters.kube.token import Token, margin_of
from meshinstall.adapters.kube.tokens import TokenSource, source_of
from meshinstall.errors import ClusterError, ForbiddenError, UsageError
from tests.contracts.servers import reply
from tests.unit.adapters.conftest import ApiServer, Reached, write_kubeconfig

V1 = "client.authentication.k8s.io/v1"
SCRIPT = """#!{python}
import json, os, pathlib, sys
def give(**status):
    print(json.dumps({{"apiVersion": "{version}", "kind": "ExecCredential", "status": status}}))
count = pathlib.Path({count!r})
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
{program}
"""


class Login:
    """A plugin in a folder; ``runs`` is how often it ran."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, program: str, name: str = "login") -> Path:
        """Write it and give its path."""
        script = self._folder / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(SCRIPT.format(python=sys.executable, version=V1, count=str(self._folder / "count"), program=program))
        script.chmod(stat.S_IRWXU)
        return script

    def plugin(self, program: str, **fields: object) -> ExecPlugin:
        """As a kubeconfig would state it."""
        return ExecPlugin(V1, str(self.write(program)), (), {}, **fields)  # type: ignore[arg-type]

    @property
    def runs(self) -> int:
        """How often it ran."""
        count = self._folder / "count"
        return int(count.read_text()) if count.exists() else 0


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path)


def source(plugin: ExecPlugin, **fields: object) -> TokenSource:
    found = source_of(Kubeconfig("config", "dev", "https://x", None, plugin=plugin, **fields))  # type: ignore[arg-type]
    assert found
    return found


@pytest.mark.anyio
async def test_a_certificate_opens_the_server_and_a_renewed_one_gets_new_connections(
    login: Login, api: ApiServer, reached: Reached, authority: trustme.CA, tmp_path: Path
) -> None:
    seen = []

    def respond(request: object) -> None:
        subject = request.connection.getpeercert()["subject"]  # type: ignore[attr-defined]
        seen.append(dict(pair for part in subject for pair in part)["commonName"])
        # The first is revoked.
        reply(request, 401 if seen == ["ann1"] else 200, b"{}")  # type: ignore[arg-type]

    api.respond = respond
    for number in (1, 2):
        leaf = authority.issue_cert("ann@example.org", common_name=f"ann{number}")
        pair = {"clientCertificateData": leaf.cert_chain_pems[0].bytes().decode(), "clientKeyData": leaf.private_key_pem.bytes().decode()}
        (tmp_path / f"{number}.json").write_text(json.dumps(pair))
    config = reached(plugin=login.plugin("give(**json.loads((count.parent / f'{number}.json').read_text()))"))
    assert await KubeClient(config, source_of(config)).get("/version") == {}
    assert seen == ["ann1", "ann2"]


def test_a_login_takes_its_time_and_not_that_of_a_port_forward(
    login: Login, api: ApiServer, reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portforward, "_TOTAL", 1.0)
    api.respond = lambda request: reply(request, 403, b"{}")
    config = reached(plugin=login.plugin("import time; time.sleep(1.5); give(token='t')"))
    with pytest.raises(ForbiddenError):
        anyio.run(portforward.PodPorts(config, source_of(config)).get, "a", "b", 15000, "/")
    assert [token for _, _, token in api.requests] == ["Bearer t"]


def test_a_pair_that_does_not_fit_is_an_error_that_shows_neither(login: Login, reached: Reached, authority: trustme.CA) -> None:
    one, two = (authority.issue_cert("a@example.org") for _ in range(2))
    pair = {"clientCertificateData": one.cert_chain_pems[0].bytes().decode(), "clientKeyData": two.private_key_pem.bytes().decode()}
    config = reached(plugin=login.plugin(f"give(**{pair!r})"))

    async def ask() -> None:
        await KubeClient(config, source_of(config)).get("/version")

    with pytest.raises(ClusterError, match="a certificate or key of context 'dev'") as caught:
        anyio.run(ask)
    assert "PRIVATE" not in caught.value.message


def test_a_plugin_runs_once_for_a_credential_without_an_end(login: Login) -> None:
    found = source(login.plugin("give(token='t' + str(number))"))
    assert [found.get(), found.get()] == ["t1", "t1"]
    assert login.runs == 1


def test_a_credential_of_a_minute_serves_for_most_of_it() -> None:
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)
    now, fetched = [start], []

    def fetch() -> Token:
        fetched.append(now[0])
        end = now[0] + timedelta(minutes=1)
        return Token(f"t{len(fetched)}", end, margin=margin_of(end, now[0]))

    found = TokenSource(fetch, lambda: now[0])
    for seconds in (0, 10, 40):
        now[0] = start + timedelta(seconds=seconds)
        assert found.get() == "t1"
    now[0] = start + timedelta(seconds=50)
    assert found.get() == "t2"


def test_what_has_expired_when_it_comes_is_used_once(login: Login) -> None:
    found = source(login.plugin("give(token='t' + str(number), expirationTimestamp='2020-01-01T00:00:00Z')"))
    assert [found.get(), found.get()] == ["t1", "t2"]


@pytest.mark.parametrize("fields", [{"token": "t"}, {"certificate": b"C", "key": b"K"}])
def test_a_plugin_does_not_run_besides_a_token_or_a_certificate(login: Login, fields: dict[str, object]) -> None:
    config = Kubeconfig("config", "dev", "https://x", None, plugin=login.plugin("give(token='other')"), **fields)  # type: ignore[arg-type]
    if found := source_of(config):
        assert found.get() == "t"
    assert login.runs == 0


def test_what_a_plugin_says_is_seen_and_a_failure_quotes_its_end(login: Login, capsys: pytest.CaptureFixture[str]) -> None:
    program = "sys.stderr.write('open https://login.example.org\\nand enter AB12\\x1b[2J\\n')\n"
    assert source(login.plugin(program + "give(token='t')")).get() == "t"
    assert capsys.readouterr().err == "open https://login.example.org\nand enter AB12[2J\n"
    with pytest.raises(ClusterError, match=r"exited with status 4: and enter AB12\[2J$"):
        source(login.plugin(program + "sys.exit(4)")).get()


def test_without_a_terminal_a_plugin_reads_nothing_and_is_told_so(login: Login) -> None:
    program = "give(token=f'{sys.stdin.read()!r}{info[\"spec\"]}'.replace(' ', ''))"
    assert source(login.plugin(program)).get() == "''{'interactive':False}"


ASK = """
import sys
from pathlib import Path
from meshinstall.adapters.kube.kubeconfig import load
from meshinstall.adapters.kube.tokens import source_of
print("got", source_of(load(Path(sys.argv[1]))).get())
"""


@pytest.mark.parametrize(("mode", "got"), [("IfAvailable", "got-secret-True"), ("Always", "got-secret-True"), ("Never", "got--False")])
def test_on_a_terminal_the_prompt_is_seen_and_the_answer_is_read(login: Login, tmp_path: Path, mode: str, got: str) -> None:
    prompt = "sys.stderr.write('Password: ')\nsys.stderr.flush()\n"
    login.write(prompt + "give(token='got-' + sys.stdin.readline().strip() + f'-{info[\"spec\"][\"interactive\"]}')")
    config = write_kubeconfig(tmp_path, {"exec": {"apiVersion": V1, "command": "./login", "interactiveMode": mode}})
    controller, terminal = pty.openpty()
    command = [sys.executable, "-c", ASK, str(config)]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True) as asking:
        os.close(terminal)
        os.write(controller, b"secret\n")
        shown = until_end(controller)
        assert asking.wait() == 0
    assert "Password: " in shown
    assert f"got {got}" in shown


def until_end(controller: int) -> str:
    """What a terminal shows until nobody holds it."""
    shown = b""
    try:
        while piece := os.read(controller, 4096):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(controller)
    return shown.decode()


def test_a_text_without_a_shebang_is_no_program_as_for_kubectl(login: Login) -> None:
    plugin = login.plugin("give(token='t')")
    script = Path(plugin.command)
    script.write_text("echo hello\n")
    with pytest.raises(ClusterError, match="neither a program nor a script that begins with #!"):
        source(plugin).get()


def test_a_relative_command_counts_from_the_folder_of_the_kubeconfig_whatever_the_current_one(
    login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login.write("give(token='right')", "bin/login")
    elsewhere = tmp_path / "elsewhere"
    Login(elsewhere).write("give(token='wrong')", "bin/login")
    monkeypatch.chdir(elsewhere)
    found = source_of(load(write_kubeconfig(tmp_path, {"exec": {"apiVersion": V1, "command": "bin/login", "interactiveMode": "Never"}})))
    assert found
    assert found.get() == "right"


def test_a_name_is_not_taken_from_the_current_folder_by_a_relative_entry_of_path(
    login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login.write("give(token='planted')", "login-of-nobody")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".:/usr/bin")
    with pytest.raises(ClusterError, match="login-of-nobody is not installed"):
        source(ExecPlugin(V1, "login-of-nobody", (), {})).get()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"apiVersion": ""}, "apiVersion of exec of user 'dev'"),
        ({"command": ""}, "command of exec of user 'dev'"),
        ({"interactiveMode": "Sometimes"}, "interactiveMode of exec of user 'dev' .* must be one of Never, IfAvailable, Always"),
        ({"args": "eks"}, "args of exec of user 'dev' .* is not a list"),
        ({"args": [7]}, "args of exec of user 'dev' .* put it in quotes"),
        ({"env": [{"name": "A", "value": 7}]}, "env of exec of user 'dev'"),
        ({"provideClusterInfo": "yes"}, "provideClusterInfo of exec of user 'dev' .* is neither true nor false"),
    ],
)
def test_a_plugin_that_is_stated_wrongly_is_named_by_its_field(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load(write_kubeconfig(tmp_path, {"exec": {"apiVersion": V1, "command": "login", "interactiveMode": "Never", **change}}))


@pytest.mark.parametrize("changed", [{"command": "log\0in"}, {"args": ("a\0b",)}, {"env": {"A": "a\0b"}}])
def test_what_no_program_can_be_given_is_no_traceback(login: Login, changed: dict[str, Any]) -> None:
    plugin = login.plugin("give(token='t')")
    with pytest.raises(ClusterError, match="credential plugin"):
        source(replace(plugin, **changed)).get()
