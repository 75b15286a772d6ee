"""Finds secrets in what helm renders: a value whose own name says nothing can become a password there, or a Secret."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from meshinstall.engine.rehearsal.rehearse import Rehearsal
from meshinstall.engine.rehearsal.rendering import Rendering
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import line
from meshinstall.model.secrets import secrets, shape

RENDERED = "PRE057"
# Secrets of a plan that are told one by one, and objects of one that are named.
_TOLD, _NAMED = 10, 3
HINT = "refer to an existing Secret by its name instead: helm keeps values, and what it renders, in the cluster"

# Where the value is written without which a release is rendered without a text; empty where there is no such value.
Trace = Callable[[str, str], Awaitable[str]]


@dataclass(slots=True)
class _Rendered:
    """A secret of one release, with the objects that it is in."""

    release: str
    text: str
    objects: list[str] = field(default_factory=list)


async def secret_findings(rehearsal: Rehearsal, trace: Trace) -> list[Finding]:
    """A finding for each secret that a release would have, by the release's name, with the line of its value; no message contains it."""
    every = [one for release in rehearsal.renderings for one in _of_release(release, rehearsal)]
    found = [_finding(one, await trace(one.release, one.text)) for one in every[:_TOLD]]
    if left := every[_TOLD:]:
        where = ", ".join(dict.fromkeys(one.objects[0] for one in left[:_NAMED]))
        found.append(Finding(RENDERED, Severity.ERROR, f"helm would render {len(left)} more secrets", f"such as in {where}", hint=HINT))
    return found


def has_secret(rendering: Rendering, text: str) -> bool:
    """Whether a text is still among the secrets of a rendering."""
    return any(text in secrets(manifest) for manifest in rendering.objects)


def told(secret: str, where: str) -> str:
    """That a rendered object holds a secret, without it."""
    return f"helm would render {shape(secret) or 'what looks like a secret'} into {where}"


def _of_release(release: str, rehearsal: Rehearsal) -> Iterator[_Rendered]:
    namespace = rehearsal.steps[release].release.namespace
    found: dict[str, _Rendered] = {}
    for manifest in rehearsal.renderings[release].objects:
        name = line(str(rehearsal.stage.key(manifest, namespace)))
        for text in dict.fromkeys(secrets(manifest)):
            found.setdefault(text, _Rendered(release, text)).objects.append(name)
    yield from found.values()


def _finding(one: _Rendered, origin: str) -> Finding:
    more = f" and {len(one.objects) - _NAMED} more" if len(one.objects) > _NAMED else ""
    title = told(one.text, one.objects[0])
    detail = f"it is in {', '.join(one.objects[:_NAMED])}{more}" if len(one.objects) > 1 else ""
    hint = HINT if origin else f"no single value makes it: look at the chart; {HINT}"
    return Finding(RENDERED, Severity.ERROR, title, detail, f"release {one.release}", origin, hint)
