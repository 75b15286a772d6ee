"""The Istios that can be installed on the testbed: which parts hold their programs, and where their source is."""

from dataclasses import dataclass
from pathlib import Path

from testbed import pins
from testbed.build.workshop import Workshop
from testbed.paths import GO_MODULES


@dataclass(frozen=True, slots=True)
class Istio:
    """One version of Istio.

    ``programs`` and ``envoy`` name the parts with its Go programs and its Envoy; ``module`` is the folder below
    testbed/go that requires its source. ``restamp_of`` is the version whose code and charts this really is, if another.
    """

    version: str
    programs: str
    envoy: str
    module: str
    restamp_of: str = ""

    @property
    def pinned(self) -> tuple[Path, Path]:
        """The files that decide which source it is."""
        folder = GO_MODULES / self.module
        return folder / "go.mod", folder / "go.sum"

    def source(self, shop: Workshop, part: str) -> Path:
        """Folder of its source, the one that the Go builds use; ``part`` is the part that is being built."""
        return shop.module(part, GO_MODULES / self.module, "istio.io/istio")


RELEASE = Istio(pins.ISTIO, "istio", "envoy", "istio")
RESTAMP = Istio(pins.RESTAMP, "istio-restamp", "envoy", "istio", restamp_of=pins.ISTIO)
PREVIOUS = Istio(pins.PREVIOUS, "istio-previous", "envoy-previous", "istio-previous")
