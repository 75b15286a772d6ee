"""What a change of the files means for each site, before anybody installs it."""

from dataclasses import dataclass

from meshinstall.model.authz import Tried
from meshinstall.model.diff import Consequence, ObjectChange


@dataclass(frozen=True, slots=True)
class TriedTwice:
    """A row of a table of requests by the policies before and after a change; ``before`` is None where the site is new."""

    before: Tried | None
    after: Tried


@dataclass(frozen=True, slots=True)
class SitePreview:
    """One site: its Istio before and after, empty where it is not there, and what changes."""

    site: str
    before: str
    after: str
    changes: tuple[ObjectChange, ...] = ()
    summary: tuple[Consequence, ...] = ()
    tests: tuple[TriedTwice, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether nothing of the site changes."""
        return not self.changes and not self.summary and self.before == self.after


@dataclass(frozen=True, slots=True)
class Preview:
    """A change from one commit to another; ``notes`` are for all sites."""

    base: str
    head: str
    sites: tuple[SitePreview, ...]
    notes: tuple[Consequence, ...] = ()
