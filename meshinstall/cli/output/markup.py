"""HTML and SVG elements that cannot forget to escape: text is escaped, only what ``tag`` made is not."""

from html import escape

from meshinstall.errors import safe

_VOID = frozenset({"meta"})


class Html(str):
    """Text that is markup already; made by ``tag`` and ``join`` alone."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float) -> Html:
    """An element; ``class_`` is the attribute class, ``_`` in names becomes ``-``."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(legal(str(value)))}"' for key, value in attributes.items())
    return Html(f"<{name}{said}>" if name in _VOID else f"<{name}{said}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Several pieces in a row."""
    return Html("".join(child if isinstance(child, Html) else escape(legal(child)) for child in children))


def style(text: str) -> Html:
    """A style sheet of our own, which must not be escaped."""
    return Html(f"<style>{text}</style>")


def legal(text: str) -> str:
    """The text without characters that a document may not hold, or that turn its direction."""
    return safe(text, kept="\n\t")
