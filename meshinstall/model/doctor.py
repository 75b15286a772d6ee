"""What a look at a cloud finds, before any cluster is touched."""

from collections.abc import Mapping
from dataclasses import dataclass

from meshinstall.model.cluster_ref import Cloud


@dataclass(frozen=True, slots=True)
class Look:
    """One question to a cloud, whether it was answered, what the answer was, and what to do where it was none."""

    what: str
    ok: bool
    said: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """All looks at a cloud; ``variables`` of the environment count for them, ``versions`` are those of the programs. None is a secret."""

    cloud: Cloud
    looks: tuple[Look, ...]
    variables: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether every question was answered."""
        return all(look.ok for look in self.looks)
