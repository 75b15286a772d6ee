"""Packages Istio's charts from the folder of its own Go module."""

from pathlib import Path

from testbed import pins
from testbed.build.workshop import Workshop
from testbed.paths import GO_MODULES

_CHARTS = ("base", "istio-control/istio-discovery", "gateway", "istio-cni", "ztunnel")


def istio_source(shop: Workshop, part: str) -> Path:
    """Folder of the module istio.io/istio that the Go builds use."""
    shop.go(part, GO_MODULES / "istio", "mod", "download", "istio.io/istio")
    return Path(shop.go(part, GO_MODULES / "istio", "list", "-m", "-f", "{{.Dir}}", "istio.io/istio").strip())


def build_release(shop: Workshop, out: Path) -> None:
    """Charts as the release publishes them: the module's folder says 1.0.0."""
    _package(shop, out, "charts", pins.ISTIO)


def build_restamp(shop: Workshop, out: Path) -> None:
    """The same charts once more under pins.RESTAMP; RESTAMP.txt in the folder says so."""
    _package(shop, out, "charts-restamp", pins.RESTAMP)
    (out / "RESTAMP.txt").write_text(f"The charts of {pins.ISTIO} packaged again as {pins.RESTAMP}; no such release is meant.\n")


def _package(shop: Workshop, out: Path, part: str, version: str) -> None:
    manifests = istio_source(shop, part) / "manifests/charts"
    for chart in _CHARTS:
        shop.run(
            part, [shop.part("helm4") / "helm", "package", manifests / chart, "--version", version, "--app-version", version, "-d", out]
        )
