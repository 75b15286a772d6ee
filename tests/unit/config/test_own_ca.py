"""``ca.secret``: the nearest place counts, and istiod looks for one name alone."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from meshinstall.errors import ConfigError
from meshinstall.model.cluster import Cloud
from meshinstall.model.own_ca import OwnCa
from tests.unit.config.projects import resolved

Write = Callable[[Mapping[str, str]], Path]

FILE = """\
apiVersion: meshinstall.dev/v1
ca: {secret: cacerts}
environments:
  staging:
    cloud: eks
    ca: {secret: ""}
  prod:
    values: {istiod: {meshConfig: {trustDomain: prod.example}}}
    clouds:
      eks:
        ca:
          secret: cacerts
      gke: {}
      aks: {ca: {secret: null}}
"""


@pytest.mark.parametrize(
    ("environment", "cloud", "wanted"),
    [
        ("dev", Cloud.LOCAL, OwnCa("cacerts", "meshinstall.yaml:2", "cluster.local")),
        ("staging", Cloud.EKS, None),
        ("prod", Cloud.EKS, OwnCa("cacerts", "meshinstall.yaml:12", "prod.example")),
        ("prod", Cloud.GKE, OwnCa("cacerts", "meshinstall.yaml:2", "prod.example")),
        ("prod", Cloud.AKS, OwnCa("cacerts", "meshinstall.yaml:2", "prod.example")),
    ],
)
def test_the_nearest_place_counts(write: Write, environment: str, cloud: Cloud, wanted: OwnCa | None) -> None:
    assert resolved(write({"meshinstall.yaml": FILE}), environment=environment, cloud=cloud).ca == wanted


@pytest.mark.parametrize("name", ["mesh-ca", "correct-horse-battery"])
def test_another_name_is_a_mistake_with_its_line_and_is_not_shown(write: Write, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(write({"meshinstall.yaml": FILE.replace("{secret: cacerts}", f"{{secret: {name}}}")}), cloud=Cloud.LOCAL)
    (problem,) = caught.value.problems
    assert problem.line == 2
    assert name not in f"{problem.text} {problem.hint}"
