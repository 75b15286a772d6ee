"""Kubernetes' quantities: 500m, 2Gi (k8s.io/apimachinery/pkg/api/resource)."""

import re
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(r"([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_SCALE = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}


def quantity(value: Any) -> Decimal | None:
    """The number that a quantity stands for; None when it is none."""
    match = _QUANTITY.fullmatch(str(value))
    return Decimal(match[1]) * _SCALE[match[2] or ""] if match else None
