"""Turns helm's stderr into an error: the object, who else owns it, and what to do next."""

import re

from meshinstall.errors import HelmConflictError, HelmError
from meshinstall.model.foreign_text import printable

# Bytes of stderr that are looked at: the error is its end.
_READ = 64 * 1024
_LINES = 12
_LINE_LENGTH = 600
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")

# helm/pkg/action/validate.go
_OWNED = re.compile(
    r'(?P<object>\b\w+ "[^"]+" in namespace "[^"]*") exists and cannot be imported .*?invalid ownership metadata[;:](?P<why>.*)'
)
_OWNER = re.compile(r'release-(?P<part>name|namespace)" must equal "[^"]*": current value is "(?P<value>[^"]*)"')
# helm/pkg/kube/client.go; the list of managers is the API server's.
_CONFLICT = re.compile(r"conflict occurred while applying object (?P<object>\S+ \S+ Kind=\w+)")
# Its subresource is left out of the name, as engine/objects/field_managers.py does
# (apimachinery: pkg/util/managedfields/internal/conflict.go).
_MANAGER = re.compile(r'conflicts? with "(?P<manager>[^"]+)"[^\n]*?:(?P<fields>(?: \.[^\n]+)|(?:\n- [^\n]+)+)')

_HINTS = (
    (
        re.compile(r"another operation \(install/upgrade/rollback\) is in progress"),
        "another helm is working on this release; if none runs any more, it was interrupted: run `meshinstall up` again",
    ),
    (
        re.compile(r"context .* does not exist|no such file or directory|no configuration has been provided"),
        "check --kubeconfig and --context against `kubectl config get-contexts`",
    ),
    (
        re.compile(r"exec plugin cannot support interactive mode"),
        "helm has no terminal: give the user of the kubeconfig a credential plugin with interactiveMode IfAvailable or Never",
    ),
    (
        re.compile(r"Unauthorized|getting credentials|must be logged in", re.IGNORECASE),
        "the API server does not accept these credentials; log in to the cloud again",
    ),
    (
        re.compile(r"cluster unreachable|connection refused|no such host|i/o timeout|network is unreachable|etcdserver", re.IGNORECASE),
        "the API server does not answer helm; check the address in the kubeconfig, the VPN and the proxy settings",
    ),
    (
        re.compile(r"is forbidden: User"),
        "ask for the permission that the message names, or use an account that has it",
    ),
    (
        re.compile(r"values don't meet the specifications of the schema|unknown platform|unknown profile"),
        "`meshinstall explain COMPONENT KEY` shows the file and line that set the value",
    ),
)


def explain(action: str, stderr: bytes) -> HelmError:
    """The error to raise when ``helm`` failed at ``action``, such as ``upgrade of istio-system/istiod``."""
    text = without_escapes(stderr[-_READ:].decode(errors="replace"))
    return _not_ours(action, text) or _conflict(action, text, is_whole=len(stderr) <= _READ) or _other(action, text)


def without_escapes(text: str) -> str:
    """The lines of ``text`` without escape sequences and characters that do not print."""
    return printable(_ESCAPE.sub("", text), kept="\n\t")


def _not_ours(action: str, text: str) -> HelmError | None:
    found = _OWNED.search(text)
    if not found:
        return None
    owner = {match["part"]: match["value"] for match in _OWNER.finditer(found["why"])}
    if owner:
        where = f" of namespace {owner['namespace']}" if "namespace" in owner else ""
        holder = f"release {owner['name']}{where}" if "name" in owner else f"a release of the same name in namespace {owner['namespace']}"
    else:
        holder = "no Helm release (it was made by istioctl, an operator or by hand)"
    return HelmError(
        f"helm {action} failed: {found['object']} exists already and belongs to {holder}",
        "remove or rename the other installation, or let its release own the object",
    )


def _conflict(action: str, text: str, *, is_whole: bool) -> HelmError | None:
    """The error for the first object in conflict; helm joins the conflicts of all objects, which may be dozens, with ``&&``."""
    # Before it, a log line may say the same.
    text = text.rpartition("Error: ")[2]
    targets = list(_CONFLICT.finditer(text))
    if not targets:
        return None
    first = text[targets[0].end() : targets[1].start()] if len(targets) > 1 else text[targets[0].end() :]
    taken = dict.fromkeys(
        (match["manager"], field.removesuffix("&&").strip(" -"))
        for match in _MANAGER.finditer(first)
        for field in match["fields"].strip().splitlines()
    )
    parts = "; ".join(f"{field} is set by {manager!r}" for manager, field in taken) or "not named by the API server"
    more = f" (and {len(targets) - 1} more objects)" if len(targets) > 1 else ""
    return HelmConflictError(
        f"helm {action} failed: {targets[0]['object']} has fields that another manager owns: {parts}{more}",
        "keep that manager from setting the field and put it back by hand, or leave the field out of the values",
        frozenset(match["manager"] for match in _MANAGER.finditer(text)) if is_whole else frozenset(),
    )


def _other(action: str, text: str) -> HelmError:
    hint = next((hint for pattern, hint in _HINTS if pattern.search(text)), "")
    return HelmError(f"helm {action} failed: {_tail(text)}", hint)


def _tail(text: str) -> str:
    """Helm's own message: what follows ``Error:``, or the last lines when it was killed before."""
    _, _, said = f"\n{text}".rpartition("\nError: ")
    lines = [line[:_LINE_LENGTH] for line in (said or text).strip().splitlines() if line.strip()]
    return "\n".join(lines[-_LINES:]) or "it printed no message"
