"""Times as people write them: 90s, 5m or 1h."""

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST = 24 * 3600


def seconds_of(text: str) -> int | None:
    """Seconds of a time up to 24h; None for anything else."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdecimal()):
        return None
    seconds = int(number[:9]) * _UNITS[unit]
    return seconds if seconds <= _LONGEST else None


def in_words(seconds: float) -> str:
    """``90 s``, ``5 min`` or ``1 h``: in the largest unit that leaves nothing over."""
    whole = round(seconds)
    for unit, name in ((3600, "h"), (60, "min")):
        if whole and not whole % unit:
            return f"{whole // unit} {name}"
    return f"{whole} s"
