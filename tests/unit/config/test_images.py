"""Which settings of images are refused before anything is asked of a cluster."""

from pathlib import Path

import pytest

from meshinstall.config.documents import Images
from meshinstall.config.images import check_images
from meshinstall.config.project import load_project
from meshinstall.config.source import Document, parse
from meshinstall.errors import ConfigError


def problems(**images: str | list[str]) -> list[str]:
    lines = ["images:", *(f"  {key}: {value}" for key, value in images.items())]
    found = parse("\n".join(lines), "m.yaml", [])
    return [f"{problem} ({problem.hint})" if problem.hint else str(problem) for problem in check_images(found, _images(found))]


def _images(document: Document) -> Images:
    written = document.values["images"]
    return Images(hub=written.get("hub", ""), tag=written.get("tag", ""), pull_secrets=tuple(written.get("pullSecrets", ())))


@pytest.mark.parametrize(
    "hub",
    [
        "docker.io/istio",
        "registry.example.com:5000/team/istio",
        "localhost:5000",
        "10.0.0.1/a/b__c/d-e",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/istio",
        "gcr.io/my-project/istio.io",
    ],
)
def test_a_hub_is_an_address_with_or_without_a_path(hub: str) -> None:
    assert problems(hub=hub, tag="1.31.0-p1", pullSecrets=["login", "a.b"]) == []


@pytest.mark.parametrize(
    ("hub", "text"),
    [
        ("https://registry.example.com/istio", "has a scheme"),
        ("oci://registry.example.com", "has a scheme"),
        ("registry.example.com/istio/", "ends with a slash"),
        ("registry.example.com/istio:1.31.0", "includes a tag or digest"),
        ("registry.example.com/istio@sha256:0123", "includes a tag or digest"),
        ("registry.example.com/Istio", "'registry.example.com/Istio' is not an image registry and path"),
        ("registry example", "'registry example' is not an image registry and path"),
        ("registry.example.com//istio", "'registry.example.com//istio' is not an image registry and path"),
    ],
)
def test_a_hub_that_no_node_understands(hub: str, text: str) -> None:
    assert problems(hub=hub) == [f"m.yaml:2:3: images.hub {text} (write host/path, such as registry.example.com/istio)"]


@pytest.mark.parametrize("variant", ["debug", "distroless"])
def test_a_variant_in_the_tag_would_be_there_twice(variant: str) -> None:
    text = f"m.yaml:3:3: images.tag '1.31.0-{variant}' includes a variant, which the charts add"
    assert problems(hub="example.com", tag=f"1.31.0-{variant}") == [f"{text} (write tag: 1.31.0 and variant: {variant})"]


@pytest.mark.parametrize("tag", ["istio/pilot:1.31.0", "sha256:0123", "-1", "x" * 129, "a b"])
def test_a_tag_that_is_none(tag: str) -> None:
    (found,) = problems(tag=f"'{tag}'")
    assert found.startswith(f"m.yaml:2:3: images.tag {tag!r} is not a valid tag")


def test_a_pull_secret_is_named_as_secrets_are() -> None:
    assert problems(pullSecrets=["good", "Not_Good"]) == ["m.yaml:2:25: images.pullSecrets: 'Not_Good' is not a valid Secret name"]


def test_what_is_wrong_with_images_is_told_with_all_else_that_is_wrong(tmp_path: Path) -> None:
    text = "apiVersion: meshinstall.dev/v1\nistio: {version: new}\nimages: {hub: https://registry.example.com/istio}\n"
    (tmp_path / "meshinstall.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_project(None, {}, tmp_path)
    assert [(problem.line, problem.text.partition(" ")[0]) for problem in caught.value.problems] == [(2, "'new'"), (3, "images.hub")]
