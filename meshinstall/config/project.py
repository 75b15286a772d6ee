"""Finds meshinstall.yaml and reads it with the profiles and values beside it and the built-in ones."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from meshinstall.config import bundled
from meshinstall.config.check import check_project
from meshinstall.config.documents import Profile, ProfileFile, Project, Settings, validate
from meshinstall.config.layer_files import PolicyFile, read_policies
from meshinstall.config.policy_layers import check_policies
from meshinstall.config.secrets import find_secrets
from meshinstall.config.source import Document, read
from meshinstall.errors import ConfigError, Problem, UsageError

__all__ = ["FILE_NAME", "VARIABLE", "Project", "load_project", "named_elsewhere"]

FILE_NAME = "meshinstall.yaml"
VARIABLE = "MESHINSTALL_CONFIG"
_VALUES = ("components", "clouds", "envs")
# Where the other files of a project are.
FOLDERS = ("profiles", *(f"values/{folder}" for folder in _VALUES))


def load_project(config: Path | None, environ: Mapping[str, str], cwd: Path, *, with_policies: bool = True) -> Project:
    """Read the configuration named by ``config`` (file or folder), MESHINSTALL_CONFIG, or found in ``cwd`` or above.

    Without any file the built-in configuration alone is used. Raises ConfigError with every problem of every
    file, whichever environment is asked for later, and UsageError when the named file does not exist. Whoever needs only a cluster
    need not wait for hundreds of policies.
    """
    file = find_file(config, environ, cwd)
    problems: list[Problem] = []
    document = Document(FILE_NAME)
    if file:
        document = read(file, _label(file, cwd, environ), problems)
        if not problems and "apiVersion" not in document.values:
            problems.append(Problem(document.source, 0, 0, "apiVersion is missing", "write apiVersion: meshinstall.dev/v1"))
    settings = validate(document, Settings, problems)
    roots = [(bundled.folder(), bundled.LABEL), *([(file.parent, _label(file.parent, cwd, environ))] if file else [])]
    project = Project(
        file.parent if file else cwd,
        document,
        settings,
        _profiles(roots, problems),
        _values(roots, problems),
        _policies(file, cwd, environ, problems) if with_policies else None,
    )
    # Where a file could not be read, names that it has would be missing elsewhere.
    is_whole = not problems
    problems += [problem for each in _documents(project) for problem in find_secrets(each)]
    if is_whole:
        problems += check_project(project)
    problems += check_policies(project)
    if problems:
        raise ConfigError(tuple(sorted(problems, key=lambda problem: (problem.source, problem.line, problem.column))))
    return project


def find_file(config: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Where meshinstall.yaml is, None for nowhere; raises UsageError when the one that is named does not exist."""
    named = config or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    if named:
        path = cwd / named.expanduser()
        path = path / FILE_NAME if path.is_dir() else path
        if not path.is_file():
            origin = "--config" if config else VARIABLE
            raise UsageError(f"{path} does not exist (set by {origin})", f"meshinstall init writes an example {FILE_NAME}")
        return path
    return next((path for folder in (cwd, *cwd.parents) if (path := folder / FILE_NAME).is_file()), None)


def named_elsewhere(written: Path, environ: Mapping[str, str], cwd: Path) -> str:
    """What MESHINSTALL_CONFIG names where commands would read that in place of the file ``written``; else empty."""
    named = environ.get(VARIABLE, "")
    target = cwd / Path(named).expanduser()
    return "" if not named or (cwd / written).resolve() in {target.resolve(), (target / FILE_NAME).resolve()} else named


def _label(path: Path, cwd: Path, environ: Mapping[str, str]) -> str:
    """The shortest name that leads there: from the current folder, or from the user's home."""
    if path.is_relative_to(cwd):
        return str(path.relative_to(cwd))
    home = environ.get("HOME", "")
    return f"~/{path.relative_to(home)}" if len(home) > 1 and path.is_relative_to(home) else str(path)


def _profiles(roots: list[tuple[Path, str]], problems: list[Problem]) -> dict[str, tuple[ProfileFile, ...]]:
    found: dict[str, tuple[ProfileFile, ...]] = {}
    for name, document in _read_folder(roots, "profiles", problems):
        found[name] = (*found.get(name, ()), ProfileFile(document, validate(document, Profile, problems)))
    return found


def _policies(file: Path | None, cwd: Path, environ: Mapping[str, str], problems: list[Problem]) -> tuple[PolicyFile, ...]:
    return read_policies(file.parent, _label(file.parent, cwd, environ), problems) if file else ()


def _values(roots: list[tuple[Path, str]], problems: list[Problem]) -> dict[tuple[str, str], tuple[Document, ...]]:
    found: dict[tuple[str, str], tuple[Document, ...]] = {}
    for folder in _VALUES:
        for name, document in _read_folder(roots, f"values/{folder}", problems):
            found[folder, name] = (*found.get((folder, name), ()), document)
    return found


def _read_folder(roots: list[tuple[Path, str]], folder: str, problems: list[Problem]) -> Iterator[tuple[str, Document]]:
    for root, label in roots:
        for path in sorted((root / folder).glob("*.y*ml")):
            source = str(Path(label) / folder / path.name)
            if path.suffix == ".yaml":
                yield path.stem, read(path, source, problems)
            else:
                problems.append(Problem(source, 0, 0, "only .yaml files are read", f"rename it to {path.stem}.yaml"))


def _documents(project: Project) -> Iterator[Document]:
    yield project.document
    for files in project.profiles.values():
        yield from (file.document for file in files)
    for documents in project.values.values():
        yield from documents
    yield from (file.document for file in project.policies or ())
