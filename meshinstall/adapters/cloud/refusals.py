"""What a cloud's refusals mean and what to do about each: one table a cloud, which the errors and the cloud's page are made from."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kind of refusal.

    ``codes`` are the provider's own; ``says`` is a part of the message that must be there too, in any case. ``means`` and ``do`` are
    sentences for people: what it comes from, and whom to ask or which command helps. ``page`` is the provider's own on it.
    """

    codes: tuple[str, ...]
    means: str
    do: str
    page: str
    says: str = ""

    def fits(self, code: str, text: str) -> bool:
        """Whether an answer with this code and text is of this kind."""
        return code in self.codes and self.says.lower() in text.lower()


def find(table: Iterable[Refusal], code: str, text: str = "") -> Refusal | None:
    """The first kind in the table that fits; None when it has none."""
    return next((kind for kind in table if kind.fits(code, text)), None)
