"""Reads objects of Kubernetes from files and folders that a user names: one or more in a file, lists of them too."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshinstall.config.layer_files import layer_of
from meshinstall.config.secrets import find_secrets
from meshinstall.config.source import Document, parse, read_text
from meshinstall.errors import Problem, UsageError
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.yaml_text import documents

# Files of one command; a repository of policies has some hundreds.
MAX_FILES = 5_000
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml")
_KUSTOMIZATION = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_ENDINGS = (".yaml", ".yml", ".json")


def read_objects(paths: Iterable[Path], problems: list[Problem], *, takes_parts: bool = True) -> tuple[PolicyObject, ...]:
    """Every object, by file and line; what is wrong is added to ``problems``. Raises UsageError for a path that is not there.

    ``takes_parts``: a file of a layer that removes or patches an object, or names identity providers, is left out; else it is a mistake.
    """
    found: list[PolicyObject] = []
    for path, is_named in _files(paths):
        count = len(problems)
        objects = tuple(_objects(path, problems))
        if not objects and len(problems) == count:
            problems += _without_object(path, is_named=is_named, takes_parts=takes_parts)
        found += objects
    return tuple(found)


def _without_object(path: Path, *, is_named: bool, takes_parts: bool) -> Iterator[Problem]:
    """What is wrong with a file that has no object: nothing in a folder, where files of other programs are too."""
    if layer_of(path):
        if not takes_parts:
            text = "no object of Kubernetes is in this file of a layer: what it means depends on an environment"
            yield Problem(str(path), 0, 0, text, "name the environment, whose layers are made to objects: --env")
    elif is_named:
        yield Problem(str(path), 0, 0, "no object of Kubernetes is in this file: apiVersion and kind are missing")


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """Files, and whether each was named itself; those of a folder by name, without hidden ones."""
    count = 0
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder", "name the files or folders that have the policies")
        inside = sorted(one for one in path.rglob("*") if one.suffix in _ENDINGS and one.is_file() and not _is_hidden(one, path))
        for one in inside if path.is_dir() else (path,):
            count += 1
            if count > MAX_FILES:
                raise UsageError(f"{path}: more than {MAX_FILES} files", "name the folder that has the policies")
            yield one, not path.is_dir()


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _objects(path: Path, problems: list[Problem]) -> Iterator[PolicyObject]:
    text = read_text(path, str(path), problems)
    for document in _documents(text, str(path), problems) if text else ():
        for one in _expanded(_named(document, path)):
            if isinstance(one.manifest.get("apiVersion"), str) and one.kind:
                problems += find_secrets(document)
                yield one


def _named(document: Document, path: Path) -> Document:
    """With what a Kustomization need not say: its file has a name that nothing else has."""
    is_one = path.name in _KUSTOMIZATIONS and "apiVersion" not in document.values and "kind" not in document.values
    return replace(document, values={**_KUSTOMIZATION, **document.values}) if is_one and document.values else document


def _documents(text: str, source: str, problems: list[Problem]) -> Iterator[Document]:
    """Each document, with lines as in the file."""
    for before, part in documents(text):
        # A JSON Patch is a list, and no object.
        if not _is_list(part):
            yield parse("\n" * before + part, source, problems, numbers_are_keys=True)


def _is_list(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith(("#", "---"))), "")
    return first.startswith(("- ", "["))


def _expanded(document: Document) -> Iterator[PolicyObject]:
    """The object of a document; of a List, each of its items."""
    items: Any = document.values.get("items")
    if document.values.get("kind") != "List" or not isinstance(items, list):
        first = min(document.positions.values(), default=(0, 0))
        yield PolicyObject(document.source, document.values, {(): first, **document.positions})
        return
    for index, item in enumerate(items):
        path = ("items", str(index))
        inner = {key[2:]: at for key, at in document.positions.items() if key[:2] == path}
        if isinstance(item, dict):
            yield PolicyObject(document.source, item, inner)
