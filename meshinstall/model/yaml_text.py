"""Reads YAML from untrusted sources, within bounds."""

from typing import Any

# Levels of maps and lists; the loader in C does not survive some hundred thousand.
_DEEPEST = 100


def load(text: str | bytes, *, aliases: bool = True) -> Any:
    """The document in ``text``; raises ValueError when it is not YAML, is nested too deep, or has aliases although ``aliases`` is false."""
    import yaml

    # PyYAML's safe loader, in C where that was built: the other takes half a minute for 2 MiB.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise ValueError(f"nested too deep: more than {_DEEPEST} levels")
            # A few lines of them can stand for gigabytes.
            if isinstance(event, yaml.AliasEvent) and not aliases:
                raise ValueError("it has aliases")
        return yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not YAML: {error}") from error
