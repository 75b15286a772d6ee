"""Collects the values layers of each release from files and flags, lowest first."""

from collections.abc import Iterator, Mapping

from meshinstall.config.choice import Choice
from meshinstall.config.documents import Project, suggestion
from meshinstall.config.exposure import exposure_layers
from meshinstall.config.exposure_check import check_exposure
from meshinstall.config.flags import FlagError, SetFlag, parse_set, problem, split_file
from meshinstall.config.gateways import NamedGateway
from meshinstall.config.images import image_layers
from meshinstall.config.secrets import find_secrets
from meshinstall.config.source import Document, read
from meshinstall.errors import Problem
from meshinstall.model.release import Component
from meshinstall.model.request import Request
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, LayerKind


def file_layers(project: Project, choice: Choice, component: Component, name: str) -> tuple[Layer, ...]:
    """Layers of all files for the release of ``component`` that users call ``name``."""
    found = _file_layers(project, choice, component, name)
    return tuple(layer for layer in found if layer is not None)


def _file_layers(project: Project, choice: Choice, component: Component, name: str) -> Iterator[Layer | None]:
    # Values for all gateways come before those for the one.
    keys = tuple(dict.fromkeys((component.value, name)))
    own = next((_own_layers(choice, gateway) for gateway in choice.gateways if gateway.name == name), ())
    for key in keys:
        yield from (each.layer(LayerKind.COMPONENT) for each in project.values.get(("components", key), ()))
    for file in choice.profiles:
        yield from _sections(file.document, LayerKind.PROFILE, ("values",), keys)
        yield from (layer for layer in own if layer.source == file.document.source)
    for each in project.values.get(("clouds", choice.cloud), ()):
        yield from _sections(each, LayerKind.CLOUD, (), keys)
    images = {layer.kind: layer for layer in image_layers(project.document, choice.places, component)}
    yield images.get(LayerKind.PROJECT)
    yield images.get(LayerKind.ENVIRONMENT)
    for each in project.values.get(("envs", choice.name), ()):
        yield from _sections(each, LayerKind.ENVIRONMENT, (), keys)
    yield from _sections(project.document, LayerKind.ENVIRONMENT, ("environments", choice.name, "values"), keys)
    yield from (layer for layer in own if layer.kind is LayerKind.ENVIRONMENT)
    yield images.get(LayerKind.CLUSTER)
    if choice.site.values:
        yield from _sections(project.document, LayerKind.CLUSTER, (*choice.site_path, "values"), keys)


def _own_layers(choice: Choice, gateway: NamedGateway) -> tuple[Layer, ...]:
    """What is written about one gateway; its own values go over its settings."""
    return (*exposure_layers(choice.cloud, gateway.settings), *gateway.layers)


def _sections(document: Document, kind: LayerKind, path: KeyPath, keys: tuple[str, ...]) -> Iterator[Layer | None]:
    return (document.layer(kind, (*path, key)) for key in keys)


def check_gateways(choice: Choice, stacks: Mapping[str, ValuesStack]) -> Iterator[Problem]:
    """Check the exposure of every gateway against all its values."""
    for gateway in choice.gateways:
        yield from check_exposure(choice.cloud, gateway.settings, stacks[gateway.name])


def add_flags(request: Request, choice: Choice, stacks: dict[str, ValuesStack], problems: list[Problem]) -> None:
    """Add layers for ``-f``, ``--set`` and ``--set-string`` on top, in helm's order: all files, then each kind of flag.

    ``gateway`` is every gateway.
    """
    for release, document in _files(request, problems):
        layer = document.layer(LayerKind.FILE)
        for name in _targets("-f", release, choice, stacks, problems):
            stacks[name] = ValuesStack((*stacks[name].layers, *([layer] if layer else [])))
    for flag, found in _sets(request, problems):
        try:
            for name in _targets(flag, found.release, choice, stacks, problems):
                made = found.layer(stacks[name])
                problems += find_secrets(Document(made.source, made.values))
                stacks[name] = ValuesStack((*stacks[name].layers, made))
        except FlagError as error:
            problems.append(problem(flag, error))


def check_syntax(request: Request) -> list[Problem]:
    """What is wrong with the texts of these flags and with the files of ``-f``, whichever releases there are."""
    problems: list[Problem] = []
    for _ in (*_files(request, problems), *_sets(request, problems)):
        pass
    return problems


def _files(request: Request, problems: list[Problem]) -> Iterator[tuple[str, Document]]:
    """The release and the file of each ``-f``."""
    for text in request.files:
        try:
            release, path = split_file(text)
        except FlagError as error:
            problems.append(problem("-f", error))
            continue
        document = read(request.folder / path, path, problems)
        problems += find_secrets(document)
        yield release, document


def _sets(request: Request, problems: list[Problem]) -> Iterator[tuple[str, SetFlag]]:
    """The flag and what it sets, of each ``--set`` and ``--set-string``."""
    for flag, texts in (("--set", request.sets), ("--set-string", request.set_strings)):
        for text in texts:
            try:
                yield flag, parse_set(flag, text)
            except FlagError as error:
                problems.append(problem(flag, error))


def _targets(flag: str, release: str, choice: Choice, stacks: dict[str, ValuesStack], problems: list[Problem]) -> tuple[str, ...]:
    if release == Component.GATEWAY and choice.gateways:
        return tuple(gateway.name for gateway in choice.gateways)
    if release in stacks:
        return (release,)
    problems.append(Problem(flag, 0, 0, f"this profile does not install {release}", suggestion(release, tuple(stacks))))
    return ()
