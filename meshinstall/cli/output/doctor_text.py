"""What doctor found, as people and programs read it."""

from typing import Any

from meshinstall.model.doctor import Examination
from meshinstall.model.foreign_text import for_log

SCHEMA = "meshinstall.dev/doctor/v1"


def doctor_text(found: Examination) -> str:
    """One line a look, then the variables and versions."""
    lines = []
    for look in found.looks:
        lines.append(f"{'✓' if look.ok else '✗'} {look.what}: {look.said}")
        lines += [f"  {line}" for line in look.hint.splitlines()]
    lines += ["", *(f"{name}={value}" for name, value in sorted(found.variables.items()))] if found.variables else []
    lines += ["", ", ".join(f"{name} {version}" for name, version in found.versions.items())]
    return for_log("\n".join(lines))


def doctor_json(found: Examination) -> dict[str, Any]:
    """The document that docs/schemas/doctor.json describes."""
    return {
        "schema": SCHEMA,
        "cloud": found.cloud,
        "ok": found.ok,
        "looks": [{"what": one.what, "ok": one.ok, "said": one.said, "hint": one.hint} for one in found.looks],
        "variables": dict(found.variables),
        "versions": dict(found.versions),
    }
