"""Which Istio and whose images: the project says it, an environment or a site of it says it again, and the nearest counts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.errors import ConfigError
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Desired
from meshinstall.model.request import Request

Write = Callable[[Mapping[str, str]], Path]

FILE = """\
apiVersion: meshinstall.dev/v1
istio: {version: 1.30.4}
images: {hub: example.com/istio, variant: distroless}
environments:
  staging:
    cloud: eks
    istio: {version: 1.31.0}
    images: {tag: 1.31.0-p1}
  prod:
    images: {hub: prod.example.com/istio}
    clouds:
      eks: {istio: {version: 1.30.5}, images: {variant: debug}}
      gke: {}
"""


def resolved(write: Write, text: str, **asked: Any) -> Desired:
    """The mesh that is asked for, on eks unless told."""
    folder = write({"meshinstall.yaml": text})
    options: dict[str, Any] = {"cloud": Cloud.EKS, "folder": folder} | asked
    return resolve(Request(**options), load_project(None, {}, folder))


@pytest.mark.parametrize(
    ("place", "version", "origin", "proxy"),
    [
        (("staging", Cloud.EKS), "1.31.0", "meshinstall.yaml:7", "example.com/istio/proxyv2:1.31.0-p1-distroless"),
        (("prod", Cloud.EKS), "1.30.5", "meshinstall.yaml:12", "prod.example.com/istio/proxyv2:debug"),
        (("prod", Cloud.GKE), "1.30.4", "meshinstall.yaml:2", "prod.example.com/istio/proxyv2:distroless"),
        (("dev", Cloud.EKS), "1.30.4", "meshinstall.yaml:2", "example.com/istio/proxyv2:distroless"),
    ],
)
def test_the_nearest_place_counts(write: Write, place: tuple[str, Cloud], version: str, origin: str, proxy: str) -> None:
    desired = resolved(write, FILE, environment=place[0], cloud=place[1])
    assert (desired.istio_version, desired.version_origin) == (version, origin)
    assert {each.chart.version for each in desired.releases} == {version}
    gateway = next(each for each in desired.releases if each.key.name == "istio-ingress")
    assert gateway.values.merged()["podAnnotations"]["meshinstall.dev/proxy-image"] == proxy


def test_each_key_of_images_has_the_line_that_said_it(write: Write) -> None:
    istiod = next(each for each in resolved(write, FILE, environment="prod").releases if each.key.name == "istiod")
    places = {key: str(istiod.values.explain(("global", key))[-1].origin) for key in ("hub", "variant")}
    assert places == {"hub": "meshinstall.yaml:10", "variant": "meshinstall.yaml:12"}


def test_images_of_a_site_go_over_values_of_its_environment_and_not_over_its_own(write: Write) -> None:
    text = FILE.replace("  prod:\n", "  prod:\n    values: {istiod: {global: {variant: '', hub: a.example}}}\n")
    text = text.replace(
        "images: {variant: debug}", "images: {variant: debug, hub: b.example}, values: {istiod: {global: {hub: c.example}}}"
    )
    istiod = next(each for each in resolved(write, text, environment="prod").releases if each.key.name == "istiod")
    assert {key: istiod.values.merged()["global"][key] for key in ("hub", "variant")} == {"hub": "c.example", "variant": "debug"}


def test_an_option_goes_over_all_files_and_the_built_in_version_under_all(write: Write) -> None:
    desired = resolved(write, FILE, environment="staging", istio_version="1.29.1")
    assert (desired.istio_version, desired.version_origin) == ("1.29.1", "--istio-version")
    desired = resolved(write, "apiVersion: meshinstall.dev/v1\n", environment="dev")
    assert (desired.istio_version, desired.version_origin) == ("1.31", "<built-in>")


def test_a_mistake_is_refused_wherever_it_stands(write: Write) -> None:
    text = (
        "apiVersion: meshinstall.dev/v1\nenvironments:\n  a: {cloud: eks, istio: {version: '1.x '}, images: {hub: 'https://x'}}\n"
        "  b: {clouds: {gke: {istio: {version: '1'}}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        resolved(write, text, environment="dev")
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "meshinstall.yaml:3:27",
        "meshinstall.yaml:3:54",
        "meshinstall.yaml:4:30",
    ]
