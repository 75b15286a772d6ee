"""Plan files: written for nobody else to read, read with suspicion, and compared with the plan of now as a whole."""

import json
import os
import shlex
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshinstall.cli.output.printers import SCHEMA, dump, plan_json
from meshinstall.errors import PlanRefusedError, UsageError
from meshinstall.model import json_text
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.foreign_text import spelled, whole
from meshinstall.model.plan import Plan, Target
from meshinstall.model.request import Request

_AGAIN = "write one with meshinstall plan --save"
# Bytes of a file that is read at all.
_MOST = 64 * 1024**2
# Fields of a Request that flags fill: in the file, and as a person types them.
_FLAGS = {
    "environment": "--env",
    "cloud": "--cloud",
    "config": "--config",
    "profile": "--profile",
    "files": "--values",
    "sets": "--set",
    "set_strings": "--set-string",
    "charts": "--charts",
    "istio_version": "--istio-version",
    "cluster": "options that name the cluster",
}
# What of a file is not done: how it was asked for, and why it is this version of Istio.
_WORDS = frozenset({"request", "istioChoice"})
_LISTS = frozenset({"files", "sets", "set_strings"})


@dataclass(frozen=True, slots=True)
class Question:
    """What a plan file alone says and a person has to agree to, and how a person says it himself."""

    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan file: the flags it was made with, the cluster it is for, and the whole document.

    One of an older version has neither: ``target`` is None, and ``request`` is what was given beside it.
    """

    path: Path
    request: Request
    target: Target | None
    document: Mapping[str, Any]

    def kubeconfig_of_its_own(self, given: Request, cluster: ClusterRef) -> Question | None:
        """What to ask where the file alone, and no flag that was ``given`` beside it, leads to a kubeconfig that can do harm.

        A kubeconfig may name a program to run and a token's file to send, and both happens before a plan can be compared; any other one
        can only lead to another cluster. Which files are the user's own, KUBECONFIG and what meshinstall.yaml names, is not for the file
        to say.
        """
        by_flag = "kubeconfig" in self.request.cluster
        is_own = "kubeconfig" not in given.cluster if by_flag else self.request.config is not None and given.config is None
        if self.target is None or cluster.cloud is not Cloud.LOCAL or cluster.kubeconfig is None or not is_own:
            return None
        name, value = ("--kubeconfig", self.request.cluster["kubeconfig"]) if by_flag else ("--config", str(self.request.config))
        if not (harm := _harm_of(cluster)):
            return None
        what = f"{spelled(str(self.path))} alone names the kubeconfig {spelled(str(cluster.kubeconfig))}, which {harm}"
        return Question(what, f"look into it; if it is yours, name it yourself beside --plan: {name} {shlex.quote(spelled(value))}")

    @property
    def istio_version(self) -> str:
        """The Istio that was agreed to; empty where the file does not say."""
        found = self.document.get("istioVersion")
        return found if isinstance(found, str) else ""

    def differences(self, plan: Plan) -> list[str]:
        """What is not the same in the plan of now, in words; raises PlanRefusedError where it is another cluster's plan."""
        if self.target is None:
            # The digest was made without it; what has been added to plans since cannot be compared.
            now = _as_far_as(self.document, _written(replace(plan, target=None)))
            return self._told(now, plan)
        if plan.target != self.target:
            raise PlanRefusedError(
                f"{self.path} was saved for another cluster: {self.target}; this is {plan.target}",
                "use the context, or the options, of the cluster that it was saved for",
            )
        return self._told(_written(plan), plan)

    def _told(self, now: Mapping[str, Any], plan: Plan) -> list[str]:
        found = list(_differences(*({name: value for name, value in one.items() if name not in _WORDS} for one in (self.document, now))))
        return [f"saved {spelled(str(self.document.get('digest')))}, now {plan.digest}", *found] if found else []


def _harm_of(cluster: ClusterRef) -> str:
    """The program that it runs, and the file that it sends, in words; empty for neither. Raises UsageError or ClusterError."""
    from meshinstall.adapters.kube import kubeconfig

    found = kubeconfig.load(cluster.kubeconfig, cluster.context)
    runs = [f"runs {whole([found.plugin.command, *found.plugin.args])} on this machine"] if found.plugin else []
    sends = [f"sends what is in {spelled(str(found.token_file))} to {spelled(found.server)}"] if found.token_file else []
    return " and ".join([*runs, *sends])


def _written(plan: Plan) -> Any:
    """As a file has it."""
    return json.loads(dump(plan_json(plan)))


def _as_far_as(saved: Any, now: Any) -> Any:
    """The plan of now without fields that the saved one does not know."""
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        return {key: _as_far_as(saved[key], value) for key, value in now.items() if key in saved}
    if isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        return [_as_far_as(one, other) for one, other in zip(saved, now, strict=True)]
    return now


def document(plan: Plan, request: Request) -> dict[str, Any]:
    """The document of a plan with the flags that it was made with."""
    told = {name: getattr(request, name) for name in _FLAGS}
    return {**plan_json(plan), "request": {name: str(value) if isinstance(value, Path) else value for name, value in told.items()}}


def save(plan: Plan, request: Request, path: Path) -> None:
    """Write a plan file that only its owner may read; raises UsageError, also where the cluster cannot be named."""
    if not plan.target or not plan.target.uid:
        raise UsageError(
            "the plan was not saved: it would not name its cluster, as the namespace kube-system may not be read",
            "plan with an account that may get the namespace kube-system",
        )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                # One that was there may have been everybody's.
                os.fchmod(descriptor, 0o600)
            file.write(dump(document(plan, request)) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write the plan to {path}: {error.strerror}") from error


def load(path: Path, given: Request) -> SavedPlan:
    """Read a plan file; flags that were ``given`` beside it must be those in it. Raises UsageError."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWOTH:
                # What it names, such as a kubeconfig with a plugin, counts before anything of it can be compared.
                raise UsageError(f"{path} can be written by every user of this machine", f"see that it is right, then run chmod o-w {path}")
            found = json_text.load(file.read(_MOST), _once)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a saved plan: {error}", _AGAIN) from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise UsageError(f"{path} is not a plan of this version", _AGAIN)
    if _is_older(found):
        return SavedPlan(path, given, None, found)
    try:
        request, target = _request(found["request"]), _target(found["target"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not a saved plan: its request or its target is not as plan --save writes it", _AGAIN) from error
    for name, flag in _FLAGS.items():
        told, kept = getattr(given, name), getattr(request, name)
        if told and told != kept and not (name == "cluster" and told.items() <= kept.items()):
            message = f"{flag} is not what {path} was saved with: {whole(_plain(told))} here, {whole(_plain(kept))} in the file"
            raise UsageError(message, f"leave it out: {path} carries its flags")
    return SavedPlan(path, replace(request, folder=given.folder), target, found)


def _is_older(found: Mapping[str, Any]) -> bool:
    """Whether it is whole, and of a version that wrote neither flags nor cluster: the digest covers what it does."""
    return not {"request", "target"} & found.keys() and isinstance(found.get("digest"), str) and isinstance(found.get("steps"), list)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError where a key is there twice, of which others may read the first."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key is duplicate: {Counter(key for key, _ in pairs).most_common(1)[0][0]}")
    return found


def _request(found: Mapping[str, Any]) -> Request:
    if found.keys() != _FLAGS.keys():
        raise ValueError
    told: dict[str, Any] = {}
    for name in _FLAGS:
        value = found[name]
        if name in _LISTS:
            told[name] = tuple(map(_text, value if isinstance(value, list) else [None]))
        elif name == "cluster":
            told[name] = {_text(key): _text(one) for key, one in value.items()}
        elif value is not None:
            told[name] = Cloud(value) if name == "cloud" else Path(_text(value)) if name == "config" else _text(value)
    return Request(**told)


def _target(found: Mapping[str, Any]) -> Target:
    if found.keys() != {"cloud", "cluster", "place", "server", "uid"} or not found["uid"]:
        raise ValueError
    place = {_text(key): _text(value) for key, value in found["place"].items()}
    return Target(_text(found["cloud"]), _text(found["cluster"]), place, _text(found["server"]), _text(found["uid"]))


def _text(value: Any) -> str:
    """A text that could stand on a command line."""
    if not isinstance(value, str):
        raise TypeError
    if "\0" in value:
        raise ValueError
    return value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Step by step first, then the rest of the document; nothing where all is the same."""
    before, after = _steps(saved.get("steps")), _steps(now["steps"])
    for name in dict.fromkeys((*before, *after)):
        shown = f"step {spelled(name)}"
        if name not in after:
            yield f"{shown}: {_action(before[name])} in the saved plan, not in the plan of now"
        elif name not in before:
            yield f"{shown}: not in the saved plan, {_action(after[name])} in the plan of now"
        else:
            yield from _fields(shown, before[name], after[name])
    if before == after and saved.get("steps") != now["steps"]:
        yield "the order or the number of the steps"
    for name in sorted({*saved, *now} - {"steps"}):
        yield from _fields(spelled(name), saved.get(name, _NOTHING), now.get(name, _NOTHING))


_NOTHING: Any = object()


def _fields(path: str, saved: Any, now: Any) -> Iterator[str]:
    """The innermost fields that are not the same."""
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*saved, *now)):
            yield from _fields(f"{path}.{spelled(str(key))}", saved.get(key, _NOTHING), now.get(key, _NOTHING))
    elif isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        for index, (one, other) in enumerate(zip(saved, now, strict=True)):
            yield from _fields(f"{path}[{index}]", one, other)
    elif type(saved) is not type(now) or saved != now:
        yield f"{path}: {_shown(saved)} in the saved plan, {_shown(now)} in the plan of now"


def _shown(value: Any) -> str:
    return "nothing" if value is _NOTHING else whole(value)


def _action(step: Any) -> str:
    return spelled(str(step.get("action"))) if isinstance(step, Mapping) else "nothing"


def _steps(found: Any) -> dict[str, Any]:
    """Steps by name; what has none, or one that is there already, gets a number for one."""
    steps: dict[str, Any] = {}
    for index, step in enumerate(found if isinstance(found, Sequence) and not isinstance(found, str) else [found]):
        name = str(step.get("name")) if isinstance(step, Mapping) else ""
        steps[name if name and name not in steps else f"{name}[{index}]"] = step
    return steps
