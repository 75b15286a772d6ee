"""The case folders of check/: each differs from check/mesh.yaml by its case.yaml; ``python -m tests.cases.checks`` rewrites the rest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from meshinstall.checks.control_plane.judge import judge
from meshinstall.cli.output.check_text import check_json, check_text
from meshinstall.cli.output.printers import dump
from meshinstall.model.health import CheckResult, HealthFacts
from meshinstall.model.mesh import Place, Proxy
from tests.cases.plans import patched

FOLDER = Path(__file__).parent / "check"
_FACTS = TypeAdapter(HealthFacts)
_PROXY = TypeAdapter(Proxy)


def names() -> list[str]:
    """Names of all cases."""
    return sorted(file.parent.name for file in FOLDER.glob("*/case.yaml"))


def load(name: str) -> HealthFacts:
    """A case by the name of its folder."""
    return make(yaml.safe_load((FOLDER / name / "case.yaml").read_text()) or {})


def make(differs: Mapping[str, Any]) -> HealthFacts:
    """The facts of mesh.yaml with differences; proxies are keyed by ``namespace/pod``, all else by names of the file's own."""
    found = patched(yaml.safe_load((FOLDER / "mesh.yaml").read_text()), differs)
    mesh = found["mesh"]
    proxies = {Place(*key.split("/")): _PROXY.validate_python(proxy) for key, proxy in mesh.pop("proxies").items()}
    for held, keys in ((mesh, ("control_planes", "pods", "policies", "authorities")), (found, ("webhooks", "crds", "exposures", "usage"))):
        for key in keys:
            held[key] = list((held.get(key) or {}).values())
    return _FACTS.validate_python({**found, "mesh": {**mesh, "proxies": proxies}})


def rendered(results: tuple[CheckResult, ...]) -> dict[str, str]:
    """The golden files, by name; JSON for what is not simply well."""
    wrong = tuple(result for result in results if result.findings or result.reason)
    return {"check.txt": check_text(results) + "\n", "check.json": dump(check_json(wrong)) + "\n"}


def main() -> None:
    """Write the golden files of every case."""
    for name in names():
        for file, text in rendered(judge(load(name))).items():
            (FOLDER / name / file).write_text(text)


if __name__ == "__main__":
    main()
