"""What builds, tests and runs this project is pinned by what it is and not by a name that may move."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
PINS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_named_by_commit_and_may_only_read(file: Path) -> None:
    uses = re.findall(r"uses: *(\S+)(.*)", file.read_text())
    assert uses
    assert [
        one for one, version in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one) or not re.fullmatch(r" # v\d+\.\d+\.\d+", version)
    ] == []
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert [name for name, job in workflow["jobs"].items() if "permissions" in job] == []


@pytest.mark.parametrize("file", ACTIONS, ids=lambda file: file.parent.name)
def test_our_actions_use_no_others_and_have_inputs_in_the_environment_alone(file: Path) -> None:
    steps = yaml.safe_load(file.read_text())["runs"]["steps"]
    assert steps
    assert [step for step in steps if "uses" in step or "${{" in step["run"]] == []


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.name)
def test_packages_are_pinned_with_hashes(file: Path) -> None:
    pins = [line for line in re.sub(r"\\\n", "", file.read_text()).splitlines() if line and not line.lstrip().startswith("#")]
    assert pins
    assert [pin for pin in pins if not re.match(r"\S+==\S+( ;.*?)? +--hash=sha256:[0-9a-f]{64}", pin)] == []


def test_the_build_backend_is_the_pinned_one() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert required == re.findall(r"^hatchling==\S+", (ROOT / "requirements/build.txt").read_text(), re.MULTILINE)
    assert "--build-constraints requirements/build.txt" in (ROOT / "scripts/lib.sh").read_text()
