"""Tokens: one renewal serves all threads, and a plugin that fails says so without what it printed."""

import json
import stat
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshinstall.adapters.kube.kubeconfig import ExecPlugin, Kubeconfig
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.kube.tokens import TokenSource, source_of
from meshinstall.errors import ClusterError

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_sixteen_threads_at_the_end_of_a_token_cause_one_renewal() -> None:
    now, fetched, together, second = [START], [], threading.Barrier(16), threading.Event()

    def fetch() -> Token:
        fetched.append(now[0])
        if len(fetched) == 2:
            # A second thread could come in now, if nothing kept it out.
            second.wait(0.1)
        elif len(fetched) > 2:
            second.set()
        return Token(f"t{len(fetched)}", now[0] + timedelta(hours=1))

    source = TokenSource(fetch, lambda: now[0])
    assert source.get() == "t1"
    now[0] += timedelta(hours=1)

    def ask(_: int) -> str:
        together.wait()
        return source.get()

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(16))) == {"t2"}
    assert len(fetched) == 2


@pytest.mark.parametrize(("left", "good"), [(timedelta(minutes=3), True), (timedelta(minutes=1), False), (-timedelta(hours=1), False)])
def test_a_token_is_renewed_before_it_ends(left: timedelta, good: bool) -> None:  # noqa: FBT001 - a column of the table
    assert Token("t", START + left).is_good(START) is good
    assert Token("t").is_good(START)


def test_a_refused_token_is_forgotten_unless_it_was_renewed_meanwhile() -> None:
    names = iter(("t1", "t2", "t3"))
    source = TokenSource(lambda: Token(next(names)))
    assert source.get() == "t1"
    source.discard("t1")
    assert source.get() == "t2"
    source.discard("t1")
    assert source.get() == "t2"


def test_a_renewal_that_fails_is_tried_again() -> None:
    answers = iter((ClusterError("no network"), Token("t")))

    def fetch() -> Token:
        found = next(answers)
        if isinstance(found, Token):
            return found
        raise found

    source = TokenSource(fetch)
    with pytest.raises(ClusterError):
        source.get()
    assert source.get() == "t"


Plugin = Callable[[str], Kubeconfig]
V1 = "client.authentication.k8s.io/v1"
GIVE = f"give = lambda status: print(json.dumps({{'apiVersion': '{V1}', 'kind': 'ExecCredential', 'status': status}}))"


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """A context whose credential plugin is a small program."""

    def make(program: str) -> Kubeconfig:
        script = tmp_path / "login"
        script.write_text(f"#!{sys.executable}\nimport json, os, sys\n{GIVE}\n{program}\n")
        script.chmod(stat.S_IRWXU)
        return Kubeconfig(
            "config", "dev", "https://x", None, plugin=ExecPlugin(V1, str(script), ("a b",), {"FROM": "kubeconfig"}, "get it")
        )

    return make


def token(config: Kubeconfig) -> str:
    source = source_of(config)
    assert source
    return source.get()


def refused(config: Kubeconfig) -> ClusterError:
    with pytest.raises(ClusterError) as caught:
        token(config)
    return caught.value


def test_a_plugin_gets_its_arguments_its_environment_and_what_is_asked(plugin: Plugin) -> None:
    program = "said = [sys.argv[1], os.environ['FROM'], json.loads(os.environ['KUBERNETES_EXEC_INFO'])['kind']]"
    assert json.loads(token(plugin(f"{program}\ngive({{'token': json.dumps(said, separators=',:').replace(' ', '-')}})"))) == [
        "a-b",
        "kubeconfig",
        "ExecCredential",
    ]


def test_a_plugin_that_fails_is_quoted_by_its_last_line(plugin: Plugin) -> None:
    error = refused(plugin("print('hunter2')\nsys.exit('noise\\nplease log in')"))
    assert error.message.endswith("login exited with status 1: please log in")


def test_a_plugin_that_fails_silently(plugin: Plugin) -> None:
    assert refused(plugin("sys.exit(3)")).message.endswith("exited with status 3: no message")


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "hunter2",
        '["hunter2"]',
        json.dumps({"apiVersion": "v1", "kind": "ExecCredential", "status": {"token": "hunter2"}}),
        json.dumps({"apiVersion": V1, "kind": "Secret", "status": {"token": "hunter2"}}),
        *(
            json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})
            for status in (
                None,
                {"secret": "hunter2"},
                {"token": ["hunter2"]},
                {"token": "hunter2", "expirationTimestamp": 7},
                {"token": "hunter2", "clientKeyData": "hunter2"},
                {"clientCertificateData": "hunter2"},
            )
        ),
    ],
)
def test_what_a_plugin_printed_is_never_shown(plugin: Plugin, printed: str) -> None:
    error = refused(plugin(f"print({printed!r})"))
    assert error.message.endswith("printed no ExecCredential with a token or a certificate and key")
    assert "hunter2" not in f"{error.message}{error.hint}"


def test_a_plugin_that_is_not_installed_gives_its_hint(tmp_path: Path) -> None:
    missing = ExecPlugin(V1, str(tmp_path / "gone"), (), {}, "get it at its home page")
    error = refused(Kubeconfig("config", "dev", "https://x", None, plugin=missing))
    assert error.message.endswith("gone is not installed")
    assert error.hint == "get it at its home page"


def test_an_expiry_without_a_time_zone_is_no_traceback(plugin: Plugin) -> None:
    program = "give({'token': 't', 'expirationTimestamp': '2099-01-01T00:00:00'})"
    config = plugin(program)
    source = source_of(config)
    assert source
    assert source.get() == "t"
    assert source.get() == "t"


def test_a_token_file_is_read_and_a_missing_one_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    error = refused(Kubeconfig("config", "dev", "https://x", None, token_file=file))
    assert str(file) in error.message
    file.write_text("t\n")
    assert token(Kubeconfig("config", "dev", "https://x", None, token_file=file)) == "t"


def test_a_token_file_is_read_again_within_a_minute(tmp_path: Path) -> None:
    """The kubelet writes a new token into it long before the old one ends."""
    file = tmp_path / "token"
    file.write_text("one")
    source = source_of(Kubeconfig("config", "dev", "https://x", None, token_file=file))
    assert source
    first, now = source.current(), datetime.now(UTC)
    assert first.is_good(now)
    assert not first.is_good(now + timedelta(minutes=1))
    file.write_text("two")
    source.discard(first)
    assert source.current().value == "two"


def test_a_context_without_a_token_has_no_source() -> None:
    assert source_of(Kubeconfig("config", "dev", "https://x", None)) is None


def test_a_token_is_in_no_repr() -> None:
    assert "hunter2" not in repr(Token("hunter2"))
