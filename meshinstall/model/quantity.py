"""Kubernetes' quantities, such as 500m, 2Gi and 1e3 (k8s.io/apimachinery/pkg/api/resource/quantity.go)."""

import re
from decimal import ROUND_CEILING, ROUND_UP, Context, Decimal
from typing import Any

# Digits may be left out on one side of the point, and an exponent is a whole number. The limits are ours: nothing real comes near them.
_QUANTITY = re.compile(
    r"(?P<sign>[+-]?)(?=\.?[0-9])(?P<whole>[0-9]{0,30})(?:\.(?P<fraction>[0-9]{0,30}))?"
    r"(?:(?P<unit>n|u|m|k|M|G|T|P|E|(?P<binary>Ki|Mi|Gi|Ti|Pi|Ei))|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_SCALE: dict[str | None, Decimal] = {
    None: Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}
# Kubernetes counts in billionths, rounded away from zero, and caps what has a binary unit.
_STEP = Decimal("1e-9")
_LARGEST = Decimal(2**63 - 1)
# Enough for every digit that the pattern lets in.
_EXACT = Context(prec=1200)


def quantity(value: Any) -> Decimal | None:
    """The number that a quantity stands for; None when the value is not a quantity."""
    match = _QUANTITY.fullmatch(str(value))
    if not match:
        return None
    number = Decimal(f"{match['whole'] or 0}.{match['fraction'] or 0}e{match['exponent'] or 0}")
    size = _EXACT.multiply(number, _SCALE[match["unit"]]).quantize(_STEP, ROUND_UP, _EXACT)
    kept = min(size, _LARGEST) if match["binary"] else size
    return _EXACT.minus(kept) if match["sign"] == "-" else kept


def size_in_bytes(value: Any) -> int | None:
    """A quantity of memory in whole bytes, rounded up as Kubernetes does; None when the value is not a quantity."""
    found = quantity(value)
    return None if found is None else int(found.to_integral_value(ROUND_CEILING))
