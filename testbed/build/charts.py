"""Packages Istio's charts from the folder of its own Go module."""

import re
import shutil
from pathlib import Path

from testbed import pins
from testbed.build.workshop import Workshop
from testbed.paths import GO_MODULES

_CHARTS = ("base", "istio-control/istio-discovery", "gateway", "istio-cni", "ztunnel")


def istio_source(shop: Workshop, part: str) -> Path:
    """Folder of Istio's own source, the one that the Go builds use."""
    return shop.module(part, GO_MODULES / "istio", "istio.io/istio")


def build_release(shop: Workshop, out: Path) -> None:
    """Charts as the release publishes them: the module's folder says 1.0.0."""
    _package(shop, out, "charts", pins.ISTIO)


def build_restamp(shop: Workshop, out: Path) -> None:
    """The same charts once more under pins.RESTAMP; RESTAMP.txt in the folder says so."""
    _package(shop, out, "charts-restamp", pins.RESTAMP)
    (out / "RESTAMP.txt").write_text(f"The charts of {pins.ISTIO} packaged again as {pins.RESTAMP}; no such release is meant.\n")


def _package(shop: Workshop, out: Path, part: str, version: str) -> None:
    manifests = istio_source(shop, part) / "manifests/charts"
    draft = out.with_suffix(".draft")
    for chart in _CHARTS:
        shutil.copytree(manifests / chart, draft)
        values = draft / "values.yaml"
        values.write_text(release_values(values.read_text(), version))
        shop.run(part, [shop.part("helm4") / "helm", "package", draft, "--version", version, "--app-version", version, "-d", out])
        shutil.rmtree(draft)


def release_values(text: str, version: str) -> str:
    """Name the images of ``version`` where the source names the development ones, as Istio's release builder does."""
    text = re.sub(r"^( *hub): (registry\.istio\.io|gcr\.io)/\S*testing\S*$", rf"\1: {pins.ISTIO_HUB}", text, flags=re.MULTILINE)
    return re.sub(r"^( *tag): latest$", rf"\1: {version}", text, flags=re.MULTILINE)
