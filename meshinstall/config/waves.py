"""The waves of an upgrade: what ``upgrade.waves`` says for a choice, and what is wrong with it."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from fnmatch import fnmatchcase

from meshinstall.config.choice import Choice
from meshinstall.config.documents import Project, Upgrade, Wave
from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.duration import seconds_of
from meshinstall.model.istio import SYSTEM_NAMESPACE
from meshinstall.model.values import KeyPath, LayerKind, Origin
from meshinstall.model.waves import Wave as AskedWave

_MOST_WAVES, _MOST_PARALLEL = 100, 100
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PATTERN = re.compile(r"[-a-z0-9*]{1,63}")
# Of the API: an optional domain, and a name (kubernetes: apimachinery/pkg/util/validation).
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def check_waves(document: Document, upgrade: Upgrade, above: KeyPath) -> Iterator[Problem]:
    """Waves at one place of meshinstall.yaml that contradict each other, or that say nothing."""
    at = (*above, "upgrade", "waves")
    waves = upgrade.waves or ()
    if len(waves) > _MOST_WAVES:
        yield document.problem(at, f"upgrade.waves has {len(waves)} waves, and may have {_MOST_WAVES}")
        return
    names: set[str] = set()
    taken: list[tuple[str, str]] = []
    for index, wave in enumerate(waves):
        path = (*at, str(index))
        yield from _check_wave(document, wave, path)
        if wave.name in names:
            yield document.problem((*path, "name"), f"two waves are named {wave.name!r}", "give each wave a name of its own")
        names.add(wave.name)
        for number, pattern in enumerate(wave.namespaces):
            if before := next(((name, other) for name, other in taken if fnmatchcase(pattern, other)), None):
                yield document.problem((*path, "namespaces", str(number)), *_twice(pattern, wave.name, *before))
            taken.append((wave.name, pattern))


def _twice(pattern: str, wave: str, before: str, other: str) -> tuple[str, str]:
    if pattern == other:
        return f"{pattern} is a duplicate: wave {before} has it", "a namespace is of one wave"
    where = "" if before == wave else f" of wave {before}"
    return f"{pattern} is in {other}{where} already", f"list {pattern} before {other}, or remove one of the two"


def _check_wave(document: Document, wave: Wave, path: KeyPath) -> Iterator[Problem]:
    if not _NAME.fullmatch(wave.name):
        yield document.problem((*path, "name"), f"invalid wave name {wave.name!r}", "use at most 63 lower-case letters, digits and hyphens")
    if bool(wave.namespaces) == bool(wave.selector):
        text = "sets namespaces and selector" if wave.selector else "sets neither namespaces nor selector"
        yield document.problem(path, f"wave {wave.name} {text}", 'set one of them; namespaces: ["*"] is every other namespace')
    for number, pattern in enumerate(wave.namespaces):
        if not _PATTERN.fullmatch(pattern):
            hint = "a namespace's name, in which * is any text"
            yield document.problem((*path, "namespaces", str(number)), f"invalid namespace {pattern!r}", hint)
    for key, value in wave.selector.items():
        if not (_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)):
            yield document.problem((*path, "selector", key), f"{key}: {value!r} is not a valid label", "a label's key and value")
    if not 1 <= wave.parallel <= _MOST_PARALLEL:
        yield document.problem((*path, "parallel"), f"parallel is {wave.parallel}, and must be between 1 and {_MOST_PARALLEL}")
    if seconds_of(wave.soak) is None:
        yield document.problem((*path, "soak"), f"soak is {wave.soak!r}, and must be a time up to 24h", "write it as 0s, 90s, 5m or 1h")


def _nearest(project: Project, choice: Choice) -> tuple[tuple[Wave, ...], LayerKind, KeyPath]:
    """The waves of the nearest place that sets any, and where they are."""
    said = (project.settings.upgrade, choice.environment.upgrade, choice.site.upgrade)
    for upgrade, (kind, above) in reversed(list(zip(said, choice.places, strict=False))):
        if upgrade.waves is not None:
            return upgrade.waves, kind, (*above, "upgrade", "waves")
    return (), LayerKind.PROJECT, ()


def find_waves(project: Project, choice: Choice) -> tuple[AskedWave, ...]:
    """The waves of the nearest place, each with its line; a list replaces that of a place that is farther."""
    waves, kind, at = _nearest(project, choice)
    document = project.document
    return tuple(
        AskedWave(
            wave.name,
            wave.namespaces,
            tuple(sorted(wave.selector.items())),
            wave.parallel,
            seconds_of(wave.soak) or 0,
            str(Origin(kind, document.source, *document.place((*at, str(index))))),
        )
        for index, wave in enumerate(waves)
    )


def check_mesh_namespaces(project: Project, choice: Choice, own: AbstractSet[str]) -> Iterator[Problem]:
    """Waves that name a namespace of the mesh itself, whose workloads have stages of their own, or that of Kubernetes."""
    waves, _, at = _nearest(project, choice)
    for index, wave in enumerate(waves):
        for number, name in enumerate(wave.namespaces):
            if name in own or name == SYSTEM_NAMESPACE:
                whose = "of the mesh" if name in own else "of Kubernetes"
                place = (*at, str(index), "namespaces", str(number))
                text = f"wave {wave.name}: {name} is a namespace {whose}, which no wave restarts"
                yield project.document.problem(place, text, "remove it: a * does not match it either")
