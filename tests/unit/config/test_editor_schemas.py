"""The schemas for editors are those of the types that read the files, and take what meshinstall itself ships and writes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from meshinstall.config.init import example
from tests.cases import schemas

ROOT = Path(__file__).parents[3]
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((schemas.FOLDER / name).read_text())
    return found


def problems(text: str, name: str) -> list[str]:
    # A day is text to us, as to an editor.
    document = json.loads(json.dumps(yaml.safe_load(text), default=str))
    return [error.message for error in jsonschema.Draft202012Validator(schema(name)).iter_errors(document)]


@pytest.mark.parametrize("name", schemas.FILES)
def test_a_schema_in_the_documentation_is_current(name: str) -> None:
    assert (schemas.FOLDER / name).read_text() == schemas.text(name), "scripts/golden writes it anew"
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_built_in_profiles_fit(file: Path) -> None:
    assert problems(file.read_text(), "profile.yaml.json") == []


def test_the_example_fits_with_and_without_its_comments() -> None:
    assert problems(example(), "meshinstall.yaml.json") == []
    uncommented = example().replace("    # mtls: ", "    mtls: ").replace("    # accept: ", "    accept: ")
    assert problems(uncommented, "meshinstall.yaml.json") == []


@pytest.mark.parametrize(
    "text",
    ["{}", "{apiVersion: meshinstall.dev/v2}", "{apiVersion: meshinstall.dev/v1, environmnts: {}}"]
    + [
        f"{{apiVersion: meshinstall.dev/v1, environments: {{dev: {wrong}}}}}"
        for wrong in ("{cloud: mars}", "{mtls: strict}", "{gateways: []}")
    ],
)
def test_a_mistake_is_found(text: str) -> None:
    assert problems(text, "meshinstall.yaml.json") != []
