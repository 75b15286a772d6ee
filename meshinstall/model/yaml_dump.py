"""Writes plain values as YAML that people review and that kubectl, helm and kustomize read back as the same values."""

from collections.abc import Iterable, Mapping
from typing import Any

from meshinstall.model.yaml_text import reads_as_text

_WIDTH = 160


def dump(value: Any) -> str:
    """One document, keys in their order, texts of several lines as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what Go would read as a number or a word, and repeats instead of referring."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # Folded or written as they are, breaks of lines that only some know are read as blanks.
        is_odd = not value.replace("\n", "").replace("\t", "").isprintable()
        style = '"' if is_odd else "|" if "\n" in value else None if reads_as_text(value) else "'"
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    plain: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)
    return plain


def dump_all(values: Iterable[Mapping[str, Any]]) -> str:
    """Several documents, one after the other."""
    return "---\n".join(map(dump, values))
