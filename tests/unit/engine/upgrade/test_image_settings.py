"""``images`` in meshinstall.yaml that would keep an old image is found with its file and line, once, whatever charts read it."""

from pathlib import Path

import pytest

from meshinstall.engine.upgrade.image_settings import image_findings
from meshinstall.model.finding import Severity
from meshinstall.model.istio_version import IstioVersion
from tests.unit.config.projects import resolved

HEAD = "apiVersion: meshinstall.dev/v1\n"


@pytest.mark.parametrize(
    ("images", "found"),
    [
        ("images:\n  tag: 1.30.4\n", [(Severity.ERROR, "meshinstall.yaml:3")]),
        ("images:\n  hub: r.example/istio-1.30.4\n  tag: 1.31.1\n", [(Severity.ERROR, "meshinstall.yaml:3")]),
        ("images:\n  tag: stable\n", [(Severity.WARNING, "meshinstall.yaml:3")]),
        ("images:\n  tag: 1.31.1-ours\n  hub: r.example:5000/istio\n  variant: debug\n", []),
        ("images:\n  variant: debug\n", []),
        ("environments:\n  dev: {images: {tag: 1.30.4}}\n", [(Severity.ERROR, "meshinstall.yaml:3")]),
    ],
)
def test_a_line_that_names_another_version(tmp_path: Path, images: str, found: list[tuple[Severity, str]]) -> None:
    (tmp_path / "meshinstall.yaml").write_text(HEAD + images)
    findings = list(image_findings(resolved(tmp_path, istio_version="1.31.1"), IstioVersion(1, 31, 1)))
    assert [(one.severity, one.origin) for one in findings] == found
    assert all(one.code == "PRE040" and one.detail.startswith("it sets istiod.global.") for one in findings)
