"""Text from Azure on its way into errors and details."""

from meshinstall.model.foreign_text import plain

_LONGEST = 400


def clean(text: str) -> str:
    """Text of Azure's, whose sentences are long, as one bounded line."""
    return plain(text, _LONGEST, cut="…")
