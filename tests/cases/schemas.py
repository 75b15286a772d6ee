"""docs/schemas of the files that a user writes, for editors: made from the types that read them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshinstall.config.authz_table import Table
from meshinstall.config.documents import Profile, Settings, editor_schema

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
FILES: Mapping[str, tuple[type[Any], str]] = {
    "meshinstall.yaml.json": (Settings, "meshinstall.yaml"),
    "profile.yaml.json": (Profile, "profiles/NAME.yaml"),
    "authz-table.json": (Table, "the table of meshinstall authz test"),
}


def text(name: str) -> str:
    """One schema, as its file has it."""
    as_type, title = FILES[name]
    return json.dumps(editor_schema(as_type, title), indent=2) + "\n"


if __name__ == "__main__":
    for file in FILES:
        (FOLDER / file).write_text(text(file))
