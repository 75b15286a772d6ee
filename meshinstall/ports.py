"""What the engine asks of the outside world; adapters implement it, tests fake it."""

from pathlib import Path
from typing import Protocol

from meshinstall.model.release import ChartRef, ReleaseKey
from meshinstall.model.values import Values


class Charts(Protocol):
    """Finds charts in a registry, a repository or a folder."""

    async def resolve(self, chart: ChartRef) -> ChartRef:
        """The chart with the sha256 digest of its archive; raises ChartError."""

    async def fetch(self, chart: ChartRef) -> Path:
        """Path of the verified archive (.tgz); raises ChartError when it is not the one that ``digest`` names."""


class Helm(Protocol):
    """The helm program, as far as releases are changed with it."""

    async def version(self) -> str:
        """Its version without the v, such as 4.3.1; raises HelmError when there is no usable helm."""

    async def upgrade(self, key: ReleaseKey, archive: Path, values: Values, *, description: str) -> None:
        """Install or upgrade a release without waiting for its pods; cancelling kills helm. Raises HelmError."""

    async def template(self, key: ReleaseKey, archive: Path, values: Values, *, kubernetes: str) -> str:
        """The manifests that an install would send, as YAML documents; raises HelmError."""

    async def uninstall(self, key: ReleaseKey) -> None:
        """Remove a release; raises HelmError."""
