"""Packages Istio's charts from the folder of its own Go module."""

import re
import shutil
from pathlib import Path

from testbed import pins
from testbed.build.istio import Istio
from testbed.build.workshop import Workshop

_CHARTS = ("base", "istio-control/istio-discovery", "gateway", "istio-cni", "ztunnel")


def package(shop: Workshop, out: Path, part: str, istio: Istio) -> None:
    """Charts as the release publishes them: the module's folder says 1.0.0. RESTAMP.txt says so of a re-stamp."""
    manifests = istio.source(shop, part) / "manifests/charts"
    draft = out.with_suffix(".draft")
    for chart in _CHARTS:
        shutil.copytree(manifests / chart, draft)
        values = draft / "values.yaml"
        values.write_text(release_values(values.read_text(), istio.version))
        version = ("--version", istio.version, "--app-version", istio.version)
        shop.run(part, [shop.part("helm4") / "helm", "package", draft, *version, "-d", out])
        shutil.rmtree(draft)
    if istio.restamp_of:
        text = f"The charts of {istio.restamp_of} packaged again as {istio.version}; no such release is meant.\n"
        (out / "RESTAMP.txt").write_text(text)


def release_values(text: str, version: str) -> str:
    """Name the images of ``version`` where the source names the development ones, as Istio's release builder does."""
    text = re.sub(r"^( *hub): (registry\.istio\.io|gcr\.io)/\S*testing\S*$", rf"\1: {pins.ISTIO_HUB}", text, flags=re.MULTILINE)
    return re.sub(r"^( *tag): latest$", rf"\1: {version}", text, flags=re.MULTILINE)
