"""Reads objects that may be missing, forbidden or malformed, and keeps a sentence for each gap."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from meshinstall.engine.mesh.kube_objects import place
from meshinstall.errors import ClusterError, UnauthorizedError, UnreachableError
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_Fact = TypeVar("_Fact")

# Characters of what a server or a proxy said.
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Wanted:
    """Objects to be listed; ``what`` is their kind in the plural, ``slim`` asks for their metadata alone."""

    what: str
    path: str
    labels: str = ""
    fields: str = ""
    slim: bool = False


class Asker:
    """Reads objects; raises UnauthorizedError and UnreachableError alone.

    ``gaps`` are what it got no answer to, ``unread`` the kinds of which some or all are missing.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.gaps: list[str] = []
        self.unread: set[str] = set()

    async def facts(self, wanted: Wanted, read: Callable[[Manifest], _Fact | None]) -> list[_Fact]:
        """What ``read`` makes of each object, one page in memory at a time; None is nothing."""
        found: list[_Fact] = []
        wrong: list[str] = []
        try:
            async for item in self._kube.list(wanted.path, labels=wanted.labels, fields=wanted.fields, metadata_only=wanted.slim):
                try:
                    fact = read(item)
                except ValueError as error:
                    wrong.append(f"{_name(item)}: {short(error)}")
                else:
                    found += [] if fact is None else [fact]
        except (UnauthorizedError, UnreachableError):
            raise
        except ClusterError as error:
            self.miss(wanted.what, f"could not be listed: {short(error)}")
        if wrong:
            self.miss(wanted.what, f"that could not be parsed: {len(wrong)}, such as {wrong[0]}")
        return found

    def miss(self, what: str, why: str) -> None:
        """Keep that objects of a kind are missing."""
        self.gaps.append(f"{what} {why}")
        self.unread.add(f"{what[:-3]}y" if what.endswith("ies") else what.removesuffix("s"))

    async def one(self, what: str, path: str, read: Callable[[Manifest], _Fact]) -> _Fact | None:
        """What ``read`` makes of an object; None when it is not there, or there is a new gap."""
        try:
            item = await self._kube.get(path)
            return None if item is None else read(item)
        except (UnauthorizedError, UnreachableError):
            raise
        except (ClusterError, ValueError) as error:
            self.gaps.append(f"{what} could not be read: {short(error)}")
            return None


def short(error: Exception) -> str:
    """The words of an error, as far as they are worth reading."""
    words = error.message if isinstance(error, ClusterError) else str(error)
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


def _name(item: Manifest) -> str:
    try:
        return str(place(item))
    except ValueError:
        return "an object without a name"
