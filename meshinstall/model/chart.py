"""What a chart archive says about itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ChartFiles:
    """The files of a chart that values depend on, as text; ``profiles`` maps ``ambient`` to files/profile-ambient.yaml.

    ``definitions`` are the CRDs of Istio's base chart; empty in others.
    """

    metadata: Mapping[str, Any]
    values: str
    schema: str | None = None
    profiles: Mapping[str, str] = field(default_factory=dict)
    definitions: str = ""
