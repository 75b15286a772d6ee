"""What is read from the names that Istio uses."""

import pytest

from meshinstall.model.istio import image_tag


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("docker.io/istio/pilot:1.31.0", "1.31.0"),
        ("localhost:5000/istio/pilot:1.31.0-distroless", "1.31.0-distroless"),
        ("localhost:5000/istio/pilot", ""),
        ("istio/pilot:1.31.0@sha256:0123", "1.31.0"),
        ("localhost:5000/istio/pilot@sha256:0123", ""),
        ("pilot", ""),
        ("", ""),
    ],
)
def test_the_tag_of_an_image_is_what_follows_its_name(image: str, tag: str) -> None:
    assert image_tag(image) == tag
