"""What catalog.py says of a minor of Istio is what its charts and its go.mod hold."""

import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from meshinstall import catalog
from testbed.build.istio import PREVIOUS, RELEASE, Istio


@pytest.mark.tools
@pytest.mark.parametrize(("istio", "charts"), [(RELEASE, "charts"), (PREVIOUS, "charts-previous")], ids=["release", "previous"])
def test_the_crds_of_a_minor_are_those_of_its_base_chart(istio: Istio, charts: str, build_part: Callable[[str], Path]) -> None:
    with tarfile.open(build_part(charts) / f"base-{istio.version}.tgz") as archive:
        file = archive.extractfile("base/files/crd-all.gen.yaml")
        assert file
        found = {crd["metadata"]["name"] for crd in yaml.safe_load_all(file) if crd}
    assert found == catalog.CRDS[catalog.minor_of(istio.version)]


@pytest.mark.parametrize("istio", [RELEASE, PREVIOUS], ids=["release", "previous"])
def test_the_gateway_api_of_a_minor_is_the_one_that_it_is_built_with(istio: Istio) -> None:
    required = re.findall(r"^\tsigs\.k8s\.io/gateway-api v(\S+)", istio.pinned[0].read_text(), re.MULTILINE)
    assert required == [catalog.GATEWAY_API[catalog.minor_of(istio.version)]]
