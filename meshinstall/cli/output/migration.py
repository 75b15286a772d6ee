"""What ``policy migrate`` found, as people and programs read it, and the files that it writes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meshinstall.errors import UsageError
from meshinstall.model.foreign_text import for_log
from meshinstall.model.migration import Goal, Migration, Readiness
from meshinstall.model.release import Manifest

SCHEMA = "meshinstall.dev/policy-migrate/v1"
_MODE = 0o644


def migration_text(found: Migration) -> str:
    """A line for each namespace and goal with the reasons below it, who counted, and what to write into meshinstall.yaml."""
    return for_log("\n".join(_lines(found)))


def migration_json(found: Migration, cluster: str, environment: str) -> dict[str, Any]:
    """The document that docs/schemas/policy-migrate.json describes."""
    steps = [{"namespace": one.namespace, "goal": one.goal, "readiness": one.readiness, "reasons": [*one.reasons]} for one in found.steps]
    files = [{"path": path, "text": text} for path, text in file_texts(found).items()]
    return {
        "schema": SCHEMA,
        "cluster": cluster,
        "environment": environment,
        "steps": steps,
        "counted": [*found.counted],
        "files": files,
        "baseline": [*found.baseline],
    }


def file_texts(found: Migration) -> Mapping[str, str]:
    """Each file to commit, by its path in the project."""
    return {path: _yaml(one) for path, one in found.files.items()}


def printed_files(texts: Mapping[str, str]) -> str:
    """All of them as documents of one stream, each below its path."""
    return for_log("".join(f"---\n# {path}\n{text}" for path, text in texts.items()))


def write_files(folder: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    """Write all of them, or none where one is there already. Raises UsageError."""
    paths = {folder / path: text for path, text in texts.items()}
    if there := next((path for path in paths if path.exists() or path.is_symlink()), None):
        raise UsageError(f"--out: {there} exists already, and nothing was written", "compare it with the output without --out")
    for path, text in paths.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            path.chmod(_MODE)
        except OSError as error:
            raise UsageError(f"--out: cannot write {path}: {error.strerror}", "name a folder that you may write to") from error
    return tuple(paths)


def _lines(found: Migration) -> Iterator[str]:
    if not found.steps:
        yield "no namespace has a pod with a proxy"
    width = max((len(one.namespace) for one in found.steps), default=0)
    told: tuple[str, ...] = ()
    for one in found.steps:
        yield f"{one.readiness:<11} {one.namespace:<{width}}  {one.goal}"
        same = one.goal is not Goal.STRICT and bool(told) and {*told} <= {*one.reasons}
        reasons = [f"the same as for {Goal.STRICT}", *(text for text in one.reasons if text not in told)] if same else one.reasons
        yield from (f"            {reason}" for reason in reasons)
        told = one.reasons
    yield from found.counted
    if any(one.readiness is Readiness.SET for one in found.steps):
        yield "SET is what policies ask for; meshinstall verify proves it"
    if found.baseline:
        yield "once the files are applied, add to policies.namespaces of the environment, beside baseline: deny-by-default:"
        yield from (f"  - {name}" for name in found.baseline)


def _yaml(manifest: Manifest) -> str:
    import yaml

    text: str = yaml.safe_dump(dict(manifest), sort_keys=False, width=160)
    return text
