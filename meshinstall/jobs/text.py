"""The rendered objects as YAML that people review."""

from collections.abc import Mapping
from typing import Any

from meshinstall.jobs.workflow import CHECKOUT, LOGINS, UPLOAD
from meshinstall.model.yaml_dump import dump


def workflow_text(found: Mapping[str, Any]) -> str:
    """A workflow, with the version of each action behind its commit, where updaters look for it."""
    text = dump(found)
    for pin in (CHECKOUT, UPLOAD, *LOGINS.values()):
        text = text.replace(f"{pin.use}\n", f"{pin.use} # {pin.version}\n")
    return text
