"""Runs credential plugins as client-go does (plugin/pkg/client/auth/exec/exec.go)."""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from meshinstall.adapters.kube.kubeconfig import ExecPlugin
from meshinstall.adapters.kube.token import Token, margin_of
from meshinstall.adapters.leash import GATE, GRACE, LEASH, WORD
from meshinstall.errors import ClusterError
from meshinstall.model import json_text
from meshinstall.model.foreign_text import plain, printable
from meshinstall.model.yaml_text import load as load_yaml

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
# Seconds within which a plugin must answer: alone, and where a person can see what it asks for.
_PATIENCE, _PATIENCE_OF_A_PERSON = 60, 600
# Bytes of its messages that are kept for an error.
_KEPT = 8 * 1024
# Bytes of its answer: a token and a chain of certificates have some thousand.
_MAX_ANSWER = 1024**2
_PIECE = 64 * 1024
# Bytes in which every program of a machine's own kind has a zero.
_HEAD = 128


def run(plugin: ExecPlugin) -> Token:
    """The credential that a plugin gives; raises ClusterError, which never shows what it printed for us."""
    if plugin.api_version not in _VERSIONS:
        raise ClusterError(
            f"the kubeconfig's credential plugin {plugin.command} has apiVersion {plain(plugin.api_version)!r}, which is not supported",
            f"use {' or '.join(_VERSIONS)}",
        )
    is_interactive = _is_interactive(plugin)
    spec: dict[str, Any] = {"interactive": is_interactive, **({} if plugin.cluster is None else {"cluster": plugin.cluster})}
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    env = {**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": json.dumps(info)}
    return _read(plugin, _output(plugin, env, is_interactive=is_interactive))


def _is_interactive(plugin: ExecPlugin) -> bool:
    is_terminal = os.isatty(0)
    if plugin.interactive == "Always" and not is_terminal:
        raise ClusterError(
            f"the kubeconfig's credential plugin {plugin.command} needs a terminal (interactiveMode Always), and standard input is not one",
            "run the command in a terminal, or use a user of the kubeconfig that needs none",
        )
    return is_terminal and plugin.interactive != "Never"


def _executable(plugin: ExecPlugin) -> str:
    """The program: by the PATH of this process, and never one that a relative folder on PATH would lead to (Go: os/exec)."""
    found = shutil.which(plugin.command)
    if found is None or not Path(found).is_absolute():
        raise ClusterError(
            f"the kubeconfig's credential plugin {plugin.command} is not installed", printable(plugin.install_hint, kept="\n")
        )
    with Path(found).open("rb") as file:
        head = file.read(_HEAD)
    # A shell, which holds it until it is on the leash, would run it as a script of its own; Go does not.
    if not head.startswith(b"#!") and b"\0" not in head:
        raise ClusterError(
            f"the kubeconfig's credential plugin {plugin.command} did not run: it is neither a program nor a script that begins with #!"
        )
    return found


def _output(plugin: ExecPlugin, env: Mapping[str, str], *, is_interactive: bool) -> bytes:
    messages = _Messages()
    # It may ask a person on the terminal (getpass opens /dev/tty), which a session of its own has none of.
    has_person = is_interactive or sys.stderr.isatty()
    gate, word = os.pipe()
    try:
        with LEASH.ready(), os.fdopen(word, "wb", 0) as begin, os.fdopen(gate, "rb", 0):
            process = subprocess.Popen(
                [*GATE, str(gate), _executable(plugin), *plugin.args],
                env=env,
                pass_fds=(gate,),
                stdin=None if is_interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages.end,
                start_new_session=not has_person,
            )
            target = process.pid if has_person else -process.pid
            with LEASH.holding(target, gently=True):
                begin.write(WORD)
                written = _answer(process, target, _PATIENCE_OF_A_PERSON if has_person else _PATIENCE)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", "") or "its command or environment holds a character that no program can be given"
        raise ClusterError(f"the kubeconfig's credential plugin {plugin.command} did not run: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"the kubeconfig's credential plugin {plugin.command} did not answer in {error.timeout:g} s{messages.last(': ')}",
            "run it by hand: it may wait for a login",
        ) from error
    finally:
        messages.close()
    if len(written) > _MAX_ANSWER:
        raise ClusterError(f"the kubeconfig's credential plugin {plugin.command} printed more than {_MAX_ANSWER // 1024} KiB")
    if process.returncode:
        said = messages.last() or "no message"
        raise ClusterError(f"the kubeconfig's credential plugin {plugin.command} exited with status {process.returncode}: {said}")
    return written


def _answer(process: "subprocess.Popen[bytes]", target: int, patience: float) -> bytes:
    """What it prints until it ends, one piece too many when that is too much. Raises TimeoutExpired."""
    written, end, stream = bytearray(), time.monotonic() + patience, cast("IO[bytes]", process.stdout)
    with stream, selectors.DefaultSelector() as selector:
        try:
            selector.register(stream, selectors.EVENT_READ)
            while len(written) <= _MAX_ANSWER and selector.select(max(end - time.monotonic(), 0)):
                piece = os.read(stream.fileno(), _PIECE)
                if not piece:
                    process.wait(max(end - time.monotonic(), 0))
                    return bytes(written)
                written += piece
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                _end(process, target)
    if len(written) <= _MAX_ANSWER:
        raise subprocess.TimeoutExpired(process.args, patience)
    return bytes(written)


def _end(process: "subprocess.Popen[bytes]", target: int) -> None:
    """SIGTERM, a grace, SIGKILL: all of its process group gets both, where it has one of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(OSError):  # it is gone, or runs as another user
            os.kill(target, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


class _Messages:
    """What a plugin writes to stderr: shown at once, because it may be what a person is asked to do, and kept for an error."""

    def __init__(self) -> None:
        self._kept = b""
        self._thread: threading.Thread | None = None
        self.end: int | None = None
        if not sys.stderr.isatty():
            reader, self.end = os.pipe()
            self._thread = threading.Thread(target=self._copy, args=(reader,), daemon=True)
            self._thread.start()

    def _copy(self, reader: int) -> None:
        with open(reader, "rb", buffering=0) as stream:
            while piece := stream.read(4096):
                self._kept = (self._kept + piece)[-_KEPT:]
                sys.stderr.write(printable(piece.decode(errors="replace"), kept="\n\t"))
                sys.stderr.flush()

    def close(self) -> None:
        """Let go of our end, and wait for what is on its way; a child that the plugin left behind may keep the other."""
        if self.end is not None and self._thread:
            os.close(self.end)
            self.end = None
            self._thread.join(0.5)

    def last(self, before: str = "") -> str:
        """The last line, after ``before``; empty where there is none, or where a terminal has shown it."""
        self.close()
        lines = self._kept.decode(errors="replace").strip().splitlines()
        return f"{before}{plain(lines[-1])}" if lines else ""


def _read(plugin: ExecPlugin, text: bytes) -> Token:
    try:
        return _credential(_document(text), plugin.api_version)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # What it printed may hold a secret, so it is not shown.
        raise ClusterError(
            f"the kubeconfig's credential plugin {plugin.command} printed no ExecCredential with a token or a certificate and key",
            f"it must print apiVersion {plugin.api_version} and kind ExecCredential, as the kubeconfig states",
        ) from error


def _document(text: bytes) -> Any:
    try:
        return json_text.load(text)
    except ValueError:
        return load_yaml(text)


def _credential(found: Mapping[str, Any], api_version: str) -> Token:
    if (found["apiVersion"], found["kind"]) != (api_version, "ExecCredential"):
        raise ValueError("another kind")
    status = found["status"]
    token, certificate, key = (status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData"))
    if not (isinstance(token, str) and isinstance(certificate, str) and isinstance(key, str)):
        raise TypeError("not text")
    if not (token or certificate) or bool(certificate) != bool(key):
        raise ValueError("neither a token nor a pair")
    stated = status.get("expirationTimestamp")
    expires = _moment(stated) if stated else None
    return Token(token, expires, certificate.encode(), key.encode(), margin_of(expires, datetime.now(UTC)))


def _moment(text: str) -> datetime:
    """An RFC 3339 time; one without a zone is taken for UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
