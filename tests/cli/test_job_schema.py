"""The rendered workflows, those of the pages and our action before the schemas that editors and linters go by."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cases.jobs import FOLDER

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parents[2]


def judged(*files: Path, schema: str = "github-workflows") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_the_workflows_are_what_github_takes(tmp_path: Path) -> None:
    files = sorted(FOLDER.glob("github-*.yaml"))
    assert len(files) == 3
    done = judged(*files)
    assert done.returncode == 0, done.stdout
    # It is no judge that lets everything pass.
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(files[0].read_text().replace("id-token: write", "id-token: some"))
    assert "id-token" in judged(wrong).stdout


def test_the_action_and_the_workflow_of_its_page_are_what_github_takes(tmp_path: Path) -> None:
    action = ROOT / ".github/actions/preview/action.yml"
    done = judged(action, schema="github-actions")
    assert done.returncode == 0, done.stdout
    (text,) = re.findall(r"```yaml\n(on: pull_request\n.*?)```", (ROOT / "docs/gitops.md").read_text(), re.DOTALL)
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(text)
    done = judged(workflow)
    assert done.returncode == 0, done.stdout
    (step,) = [one for one in yaml.safe_load(text)["jobs"]["preview"]["steps"] if "/preview@" in one.get("uses", "")]
    assert set(step["with"]) <= set(yaml.safe_load(action.read_text())["inputs"])
