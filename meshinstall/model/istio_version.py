"""Versions of Istio as numbers that can be compared."""

import re
from typing import NamedTuple

_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:-(alpha|beta|rc)\.(\d{1,6}))?")


class IstioVersion(NamedTuple):
    """A version; ``stage`` is alpha, beta, rc or release, which is their order in the alphabet too."""

    major: int
    minor: int
    patch: int
    stage: str = "release"
    number: int = 0

    @property
    def line(self) -> str:
        """The minor: ``1.31`` of 1.31.4."""
        return f"{self.major}.{self.minor}"

    def minors_after(self, other: "IstioVersion") -> int:
        """How many minors it is newer than ``other``, negative when it is older; another major is far away."""
        return (self.major - other.major) * 1000 + self.minor - other.minor

    def __str__(self) -> str:
        """``1.31.0`` or ``1.31.0-beta.1``."""
        ending = "" if self.stage == "release" else f"-{self.stage}.{self.number}"
        return f"{self.line}.{self.patch}{ending}"


def istio_version(text: str) -> IstioVersion | None:
    """The version that a text begins with (``1.31.0-distroless``, ``1.31.0+0123456789ab``); None where it begins with another thing."""
    found = _VERSION.match(text)
    if not found:
        return None
    major, minor, patch, stage, number = found.groups()
    return IstioVersion(int(major), int(minor), int(patch), stage or "release", int(number or 0))
