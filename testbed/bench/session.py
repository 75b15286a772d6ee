"""What all measurements of one run share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbed import cluster, shell
from testbed.build.workshop import Workshop
from testbed.cluster import Cluster
from testbed.spec import Nodes


@dataclass(frozen=True, slots=True)
class Running:
    """A cluster and the variables that lead programs to it."""

    cluster: Cluster
    env: dict[str, str]


@dataclass(frozen=True, slots=True)
class Session:
    """Built parts, the name of the clusters, how often all is repeated, and where progress is told."""

    shop: Workshop
    name: str
    rounds: int
    say: Callable[[str], None]

    @contextmanager
    def fresh_cluster(self, tools: tuple[str, ...], parts: tuple[str, ...] = ()) -> Iterator[Running]:
        """A new cluster with ``tools`` on PATH, ended afterwards; ``parts`` are further images for its node."""
        cluster.down(self.name)
        try:
            started = cluster.up(self.name, Nodes.REAL, _quiet, parts)
            yield Running(started, shell.environment(started, self.shop, tools))
        finally:
            cluster.down(self.name)


def _quiet(_: str) -> None:
    """Say nothing: a cluster's start is not what is measured."""
