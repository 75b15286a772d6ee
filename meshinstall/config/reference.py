"""Turns the keys or options that name a cluster into a ClusterRef; a small module, because the credential plugin must start fast."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from meshinstall.errors import ConfigError, Problem
from meshinstall.model.cluster_ref import CLUSTER_KEYS, Cloud, ClusterRef, flag

# Keys of a cluster that every provider has; the others are the provider's selectors.
_COMMON = frozenset({"name", "context", "kubeconfig"})


def named(cloud: Cloud, written: Mapping[str, str]) -> ClusterRef:
    """The cluster that command line options alone name; raises ConfigError."""
    if problems := tuple(find_foreign_options(written, cloud)):
        raise ConfigError(problems)
    return reference(cloud, written, Path.cwd())


def reference(cloud: Cloud, written: Mapping[str, str], base: Path) -> ClusterRef:
    """The cluster that ``written`` names, by the keys of the files; a relative kubeconfig counts from ``base``."""
    return ClusterRef(
        cloud,
        written.get("name", ""),
        base / Path(written["kubeconfig"]).expanduser() if written.get("kubeconfig") else None,
        written.get("context", ""),
        {_snake(key): value for key, value in written.items() if key not in _COMMON},
    )


def find_foreign_options(written: Mapping[str, str], cloud: Cloud) -> Iterator[Problem]:
    """Find options that belong to another cloud, which would be silently ignored."""
    for key in written:
        if key not in _COMMON and key not in CLUSTER_KEYS[cloud]:
            yield Problem(flag(_snake(key)), 0, 0, f"does not apply to --cloud {cloud}")


def _snake(key: str) -> str:
    """The selector that a key of the files stands for: roleArn is role_arn."""
    return re.sub(r"(?<=[a-z])[A-Z]", lambda letter: f"_{letter[0].lower()}", key)
