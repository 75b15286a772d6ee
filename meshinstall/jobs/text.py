"""The rendered objects as YAML that people review."""

from collections.abc import Iterable, Mapping
from typing import Any

from meshinstall.jobs.workflow import CHECKOUT, LOGINS, UPLOAD

_WIDTH = 160


def manifests_text(objects: Iterable[Mapping[str, Any]]) -> str:
    """Objects of Kubernetes, one document for each."""
    return "---\n".join(_yaml(one) for one in objects)


def workflow_text(found: Mapping[str, Any]) -> str:
    """A workflow, with the version of each action behind its commit, where updaters look for it."""
    text = _yaml(found)
    for pin in (CHECKOUT, UPLOAD, *LOGINS.values()):
        text = text.replace(f"{pin.use}\n", f"{pin.use} # {pin.version}\n")
    return text


def _yaml(found: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Texts of several lines as blocks."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    plain: str = yaml.dump(found, Dumper=Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)
    return plain
