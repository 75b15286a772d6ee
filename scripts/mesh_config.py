"""Writes meshinstall/config/mesh_config_fields.py: names and types of the fields of MeshConfig, from istio.io/api's .proto files.

Run with the folder of the module: python scripts/mesh_config.py FOLDER, such as .../go-mod/istio.io/api@v1.31.1.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "mesh/v1alpha1/config.proto",
    "mesh/v1alpha1/proxy.proto",
    "networking/v1alpha3/destination_rule.proto",
    "networking/v1alpha3/virtual_service.proto",
    "networking/v1alpha3/workload_group.proto",
    "networking/v1beta1/proxy_config.proto",
)
START = "istio.mesh.v1alpha1.MeshConfig"
HEAD = '''"""Fields of Istio's MeshConfig and of the messages in it, as NAME:TYPE; scripts/mesh_config.py writes this file.

Types: text, bool, int, uint, float, duration and any; enum(A|B) by name; list(T) and map(T); a message by its name.

From istio.io/api {version}.
"""

# ruff: noqa: E501

from collections.abc import Mapping

# The minor of Istio that has them.
MINOR = "{minor}"

FIELDS: Mapping[str, str] = {{
'''
SCALARS = {
    "string": "text",
    "bytes": "text",
    "bool": "bool",
    **dict.fromkeys(("int32", "int64", "sint32", "sint64", "sfixed32", "sfixed64"), "int"),
    **dict.fromkeys(("uint32", "uint64", "fixed32", "fixed64"), "uint"),
    **dict.fromkeys(("double", "float"), "float"),
    "google.protobuf.Duration": "duration",
    "google.protobuf.StringValue": "text",
    "google.protobuf.BoolValue": "bool",
    **dict.fromkeys(("google.protobuf.Int32Value", "google.protobuf.Int64Value"), "int"),
    **dict.fromkeys(("google.protobuf.UInt32Value", "google.protobuf.UInt64Value"), "uint"),
    **dict.fromkeys(("google.protobuf.DoubleValue", "google.protobuf.FloatValue"), "float"),
}
BLOCK = re.compile(r"\b(message|enum|oneof)\s+(\w+)\s*\{")
FIELD = re.compile(r"(?:(repeated|optional)\s+)?(map\s*<\s*\w+\s*,\s*[\w.]+\s*>|[\w.]+)\s+(\w+)\s*=\s*\d+\s*(?:\[[^\]]*\])?\s*;")
# A message in our words, by its full name.
MESSAGE = re.compile(r"(?<!\w)\.([\w.]+)")

# Characters of one row of fields.
WIDTH = 120

Messages = dict[str, dict[str, str]]
Enums = dict[str, list[str]]


def read(text: str, messages: Messages, enums: Enums) -> None:
    """Add all messages and enums of one file, by full name."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)
    read_block(text, package[1] if package else "", messages, enums)


def read_block(body: str, name: str, messages: Messages, enums: Enums) -> str:
    """Take nested blocks out of ``body``; return what is left, the fields of oneofs included."""
    while block := BLOCK.search(body):
        depth, end = 1, block.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(body[end], 0)
            end += 1
        kind, inner = block[1], body[block.end() : end - 1]
        left = ""
        if kind == "oneof":
            left = read_block(inner, name, messages, enums)
        elif kind == "enum":
            enums[f"{name}.{block[2]}"] = re.findall(r"^\s*(\w+)\s*=\s*-?\d+", inner, re.MULTILINE)
        else:
            full = f"{name}.{block[2]}"
            fields = FIELD.findall(read_block(inner, full, messages, enums))
            messages[full] = {field: f"{label} {kind}".strip() for label, kind, field in fields}
        body = body[: block.start()] + left + body[end:]
    return body


def resolve(written: str, scope: str, messages: Messages, enums: Enums) -> str:
    """The type of a field in our words; a message as its full name with a leading dot."""
    label, _, name = written.rpartition(" ") if not written.startswith("map") else ("", "", written)
    if label == "repeated":
        return f"list({resolve(name, scope, messages, enums)})"
    if entry := re.fullmatch(r"map\s*<\s*\w+\s*,\s*([\w.]+)\s*>", name):
        return f"map({resolve(entry[1], scope, messages, enums)})"
    if name in SCALARS:
        return SCALARS[name]
    parts = scope.split(".")
    for end in range(len(parts), -1, -1):
        full = ".".join((*parts[:end], name))
        if full in enums:
            return f"enum({'|'.join(enums[full])})"
        if full in messages:
            return f".{full}"
    return "any"


def camel(name: str) -> str:
    """The name of a field in JSON."""
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def main(folder: Path) -> None:
    """Write the fields of everything that MeshConfig holds."""
    messages: Messages = {}
    enums: Enums = {}
    for file in FILES:
        read((folder / file).read_text(), messages, enums)
    waiting, found = [START], {}
    while waiting:
        full = waiting.pop()
        if full not in found:
            found[full] = {camel(name): resolve(kind, full, messages, enums) for name, kind in messages[full].items()}
            waiting += [name for kind in found[full].values() for name in MESSAGE.findall(kind)]
    short = {full: shorten(full, found) for full in found}
    version = folder.name.rpartition("@")[2].removeprefix("v")
    lines = [HEAD.format(version=version, minor=version.rpartition(".")[0])]
    for full in sorted(found, key=short.__getitem__):
        kinds = {name: MESSAGE.sub(lambda match: short[match[1]], kind) for name, kind in found[full].items()}
        lines += literal(short[full], [f"{name}:{kind}" for name, kind in sorted(kinds.items())])
    (ROOT / "meshinstall/config/mesh_config_fields.py").write_text("".join(lines) + "}\n")


def shorten(full: str, names: Iterable[str]) -> str:
    """The last parts of a message's name that no other message ends with."""
    parts = full.split(".")
    endings = (".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))
    return next(ending for ending in endings if sum(f".{name}".endswith(f".{ending}") for name in names) == 1)


def literal(name: str, fields: list[str]) -> list[str]:
    """One entry of the map; long ones as several texts."""
    rows, row = [], ""
    for field in fields:
        if row and len(row) + len(field) > WIDTH:
            rows.append(row)
            row = ""
        row += f"{field} "
    rows.append(row)
    if len(rows) == 1:
        return [f'    "{name}": "{rows[0].strip()}",\n']
    return [f'    "{name}": (\n', *(f'        "{row}"\n' for row in rows), "    ),\n"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
