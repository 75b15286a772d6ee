"""The rendered workflows before the schema that editors and linters go by."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cases.jobs import FOLDER

pytestmark = pytest.mark.tools

SCHEMA = ("--builtin-schema", "vendor.github-workflows")


def judged(*files: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "check_jsonschema", *SCHEMA, *map(str, files)]
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
