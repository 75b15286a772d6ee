"""The application of the documentation is one that the testbed can run."""

from pathlib import Path

import yaml

from testbed import pins

FILE = Path(__file__).parents[2] / "testbed" / "app.yaml"


def test_its_containers_have_the_image_that_every_node_has() -> None:
    objects = list(yaml.safe_load_all(FILE.read_text()))
    containers = [one["spec"]["template"]["spec"]["containers"][0] for one in objects if one["kind"] == "Deployment"]
    assert [(one["image"], one["imagePullPolicy"]) for one in containers] == [(pins.APP_IMAGE, "Never")] * 2
