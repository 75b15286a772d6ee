"""Asks an API server whether it would take policies as they are written: strictly, with the rules of its CRDs and istiod's webhook.

Writes nothing: every request is a server-side dry run. A webhook that fails open lets everything through while istiod is away, so
istiod is asked to refuse an object of each kind that it must refuse: what is accepted beside one that it let through is not proven.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple, TypeVar

import anyio

from meshinstall.engine.objects.refusable import SPECS, refusable_kind, versions_of
from meshinstall.engine.rehearsal import refusals, sending
from meshinstall.engine.rehearsal.refusals import Reading
from meshinstall.engine.rehearsal.sending import Standing
from meshinstall.engine.tasks import task_group
from meshinstall.errors import UnreachableError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.labels import REVISION
from meshinstall.model.ownership import MANAGER
from meshinstall.model.paths import resource_of
from meshinstall.model.policy_kinds import GATEWAY_API, POLICY_KINDS
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.release import Manifest
from meshinstall.model.trial import Answer, ApiKind, Attempt, Kinds, Write
from meshinstall.model.values import KeyPath
from meshinstall.ports import Kube

_Input = TypeVar("_Input")
_Answer = TypeVar("_Answer")

# Requests at the same time.
_AT_ONCE = 16
# The namespace that every cluster has.
_SOMEWHERE = "default"
_WEBHOOK = "admission webhook"
# istiod's own, of a revision or of the default one: a refusal by another says nothing of it.
_OF_ISTIOD = re.compile(r'^[^"]*admission webhook "(?:rev\.)?validation\.istio\.io" denied')
# A field in the words of the API server, of a CRD or of a webhook.
_FIELD = re.compile(r"\b(?:spec|metadata)(?:\.[A-Za-z0-9_-]+|\[\d+\])*")


class Outcome(StrEnum):
    """What an API server says of an object; not proven is what could not be tried, or what istiod had no say in."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_PROVEN = "not proven"


@dataclass(frozen=True, slots=True)
class Tried:
    """An object, what became of its dry run and why, the API server's warnings, and line and column of what they are about."""

    policy: PolicyObject
    outcome: Outcome
    text: str = ""
    warnings: tuple[str, ...] = ()
    place: tuple[int, int] = (0, 0)


class _Where(NamedTuple):
    """The webhooks that judge an object: those of its namespace, of its revision, and of the kind by which its own is tried."""

    namespace: str
    revision: str
    kind: tuple[str, str]


def untried(objects: Iterable[PolicyObject], why: str) -> tuple[Tried, ...]:
    """Every policy among the objects, none of which was tried."""
    return tuple(Tried(one, Outcome.NOT_PROVEN, why, place=one.place(())) for one in _policies(objects))


async def try_policies(objects: Iterable[PolicyObject], kube: Kube) -> tuple[Tried, ...]:
    """Try every policy among the objects, in their order. Raises ClusterError where the API server does not say what it serves."""
    wanted = tuple(_policies(objects))
    trial = _Trial(kube, await kube.kinds() if wanted else {})
    found = await _side_by_side(wanted, trial.of)
    # Of those that were accepted, whether istiod had a say.
    places = dict.fromkeys(_where(one.policy) for one in found if one.outcome is Outcome.ACCEPTED and _is_istios(one.policy))
    unjudged = dict(zip(places, await _side_by_side(tuple(places), trial.webhook), strict=True))
    return tuple(_with_webhook(one, unjudged) for one in found)


def _policies(objects: Iterable[PolicyObject]) -> Iterable[PolicyObject]:
    return (one for one in objects if (one.group, one.kind) in POLICY_KINDS)


def _is_istios(policy: PolicyObject) -> bool:
    return policy.group != GATEWAY_API


def _where(policy: PolicyObject) -> _Where:
    revision = policy.labels.get(REVISION)
    return _Where(policy.namespace, revision if isinstance(revision, str) else "", refusable_kind(policy.group, policy.kind))


def _with_webhook(one: Tried, unjudged: Mapping[_Where, str]) -> Tried:
    why = unjudged.get(_where(one.policy), "") if one.outcome is Outcome.ACCEPTED and _is_istios(one.policy) else ""
    return Tried(one.policy, Outcome.NOT_PROVEN, why, one.warnings, one.place) if why else one


class _Trial:
    """Dry runs on one cluster."""

    def __init__(self, kube: Kube, kinds: Kinds) -> None:
        self._kube = kube
        self._kinds = kinds

    async def of(self, policy: PolicyObject) -> Tried:
        """Try one object as it is written, whoever owns its fields in the cluster."""
        key = ObjectKey(str(policy.manifest.get("apiVersion")), policy.kind, policy.namespace, policy.name)
        kind = self._kind(key)
        if kind is None:
            return _not_proven(policy, f"the API server does not serve {key.kind} of {key.api_version}")
        if not policy.name:
            return _not_proven(policy, "it has no name")
        metadata = {**_table(policy.manifest.get("metadata")), "namespace": policy.namespace}
        body = {**policy.manifest, "metadata": metadata}
        answer = await self._ask(Attempt(Write.APPLY, sending.path_to(key, kind), body, MANAGER, force=True))
        if answer.status == HTTPStatus.NOT_FOUND:
            return await self._elsewhere(policy, key, kind, body)
        return _read(policy, answer)

    async def _elsewhere(self, policy: PolicyObject, key: ObjectKey, kind: ApiKind, body: Manifest) -> Tried:
        """The same in another namespace, where that of the object is missing: only a refusal that is true of any namespace counts."""
        answer = await self._ask(sending.elsewhere(key, kind, body, _SOMEWHERE, Standing(by_server=True)))
        answer = replace(answer, message=answer.message.replace(sending.trial_name(key), key.name))
        found = _read(policy, answer)
        missing = f"namespace {policy.namespace} does not exist; tried in {_SOMEWHERE}"
        if found.outcome is Outcome.REFUSED and not refusals.read(answer).shape and _WEBHOOK not in answer.message:
            return _not_proven(policy, f"{missing}: {found.text}")
        text = f"{missing}: {found.text}" if found.text else missing
        return Tried(policy, found.outcome, text, found.warnings, found.place)

    async def webhook(self, where: _Where) -> str:
        """Why it is not known that istiod judges the objects of a namespace, a revision and a kind; empty where it does."""
        keys = (ObjectKey(version, where.kind[1], "", "meshinstall-trial") for version in versions_of(where.kind))
        key, kind = next(((one, found) for one in keys if (found := self._kind(one))), (None, None))
        if key is None or kind is None:
            return f"the API server does not serve {where.kind[1]}, with which istiod's webhook is tried"
        reasons = []
        for namespace in dict.fromkeys((where.namespace, _SOMEWHERE)):
            answer = await self._ask(_refusable(key._replace(namespace=namespace), kind, where))
            if not answer.is_accepted and _OF_ISTIOD.match(answer.message) and refusals.read(answer).reading is Reading.REFUSED:
                return ""
            if answer.status != HTTPStatus.NOT_FOUND:
                reason = f"it took an object ({where.kind[1]}) that istiod refuses" if answer.is_accepted else answer.message
                reasons.append(plain(f"accepted, and istiod's webhook did not judge it: {reason}"))
                break
        return reasons[0] if reasons else "accepted, and istiod's webhook could not be tried"

    async def _ask(self, attempt: Attempt) -> Answer:
        try:
            return await self._kube.attempt(attempt)
        except UnreachableError as error:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, error.message)

    def _kind(self, key: ObjectKey) -> ApiKind | None:
        if self._kinds:
            return self._kinds.get((key.api_version, key.kind))
        found = resource_of(key)
        return ApiKind(*found) if found else None


def _refusable(key: ObjectKey, kind: ApiKind, where: _Where) -> Attempt:
    metadata = {"name": key.name, "namespace": key.namespace, "labels": {REVISION: where.revision} if where.revision else {}}
    body = {"apiVersion": key.api_version, "kind": key.kind, "metadata": metadata, "spec": SPECS[where.kind]}
    return Attempt(Write.CREATE, sending.path_to(key, kind).rpartition("/")[0], body, MANAGER)


def _read(policy: PolicyObject, answer: Answer) -> Tried:
    read = refusals.read(answer)
    warnings = tuple(plain(one) for one in answer.warnings)
    if read.reading is Reading.ACCEPTED:
        return Tried(policy, Outcome.ACCEPTED, "", warnings, policy.place(()))
    if read.reading in {Reading.NOT_JUDGED, Reading.NO_PERMISSION}:
        return _not_proven(policy, read.text)
    told = [*read.fields, *_FIELD.findall(answer.message)]
    paths = (_path(one) for one in told)
    # The innermost field that the file has says most.
    found = max((path for path in paths if path in policy.positions or path[:-1] in policy.positions), key=len, default=())
    return Tried(policy, Outcome.REFUSED, plain(read.text), warnings, policy.place(found))


def _not_proven(policy: PolicyObject, why: str) -> Tried:
    return Tried(policy, Outcome.NOT_PROVEN, plain(why), place=policy.place(()))


def _path(field: str) -> KeyPath:
    """``spec.rules[0].from`` as a path in a file."""
    return tuple(one for one in re.split(r"[.\[\]]+", field) if one)


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


async def _side_by_side(items: Sequence[_Input], ask: Callable[[_Input], Awaitable[_Answer]]) -> list[_Answer]:
    """Ask for each item, some at the same time; answers in their order."""
    answers: dict[int, _Answer] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def one(number: int) -> None:
        async with limiter:
            answers[number] = await ask(items[number])

    async with task_group() as group:
        for number in range(len(items)):
            group.start_soon(one, number)
    return [answers[number] for number in range(len(items))]
