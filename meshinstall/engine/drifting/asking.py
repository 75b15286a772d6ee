"""Asks the API server, by dry run, whether it would take what Git says: what comes back as it is now, it changes itself at admission."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import anyio

from meshinstall.engine.drifting.terms import Differing, Field, last_first
from meshinstall.engine.objects.field_paths import ABSENT, correction, field_at
from meshinstall.engine.tasks import task_group
from meshinstall.errors import ClusterError, ForbiddenError, UnauthorizedError, UnreachableError
from meshinstall.model.paths import path_of
from meshinstall.model.policy_kinds import GATEWAY_API, group_of
from meshinstall.ports import Kube

# Objects that are asked for, and requests at the same time.
_MOST, _AT_ONCE = 50, 8


class Asked(NamedTuple):
    """What still differs; ``unasked`` says why the API server was not asked about some."""

    differing: tuple[Differing, ...]
    unasked: str = ""


async def without_admission(differing: Sequence[Differing], kube: Kube) -> Asked:
    """Those that the API server would change; raises UnauthorizedError and UnreachableError alone."""
    found: dict[int, Differing] = {}
    denied: list[str] = []
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def ask(number: int) -> None:
        async with limiter:
            if not denied:
                found[number] = await _asked(differing[number], kube, denied)

    async with task_group() as group:
        for number in range(min(len(differing), _MOST)):
            group.start_soon(ask, number)
    left = tuple(found.get(number, one) for number, one in enumerate(differing))
    return Asked(tuple(one for one in left if one.fields), denied[0] if denied else "")


async def _asked(one: Differing, kube: Kube, denied: list[str]) -> Differing:
    try:
        patch = correction(one.live, [(field.path, field.wanted) for field in last_first(one.fields)])
        answer = await kube.patch(path_of(one.wanted.key), patch, dry_run=True)
    except ForbiddenError as error:
        denied.append(error.message)
        return one
    except (UnauthorizedError, UnreachableError):
        raise
    except (ClusterError, KeyError):
        return one
    if one.wanted.policy is None:
        return replace(one, fields=tuple(_changing(one.fields, answer)))
    if answer.get("spec") != one.live.get("spec"):
        return one
    # Kinds of the Gateway API have defaults; a policy of Istio's that cannot say what Git says is drift, whoever changes it.
    is_defaulted = group_of(one.wanted.key.api_version) == GATEWAY_API
    around = tuple(field for field in one.fields if field.path[0] != "spec")
    return replace(one, fields=around) if is_defaulted else replace(one, is_admitted=len(around) < len(one.fields))


def _changing(fields: Iterable[Field], answer: object) -> Iterable[Field]:
    return (field for field in fields if (now := field_at(answer, field.path)) != field.live or (now is ABSENT) != (field.live is ABSENT))
