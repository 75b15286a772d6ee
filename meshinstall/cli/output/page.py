"""What all pages have: one self-contained document without a script and without a request to anywhere, a banner, sections, pills."""

from collections.abc import Iterable

from meshinstall.cli.output.markup import Html, join, style, tag
from meshinstall.cli.output.page_style import STYLE


def document(title: str, header: Html, main: Html, footer: str) -> str:
    """The page, as UTF-8 text."""
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        style(STYLE),
    )
    return f"<!doctype html>\n{tag('html', tag('head', head), tag('body', header, main, tag('footer', footer)), lang='en')}\n"


def banner(outcome: str, words: str, kind: str = "") -> Html:
    """The one result of a page; ``kind`` is the verdict that it looks like, its own by default."""
    return tag("div", tag("strong", outcome), tag("p", words), class_=f"banner {css_class(kind or outcome)}", role="status")


def terms_table(terms: Iterable[tuple[str, str]]) -> Html:
    """Names and what they stand for."""
    rows = [tag("tr", tag("th", name, scope="row"), tag("td", text)) for name, text in terms]
    return tag("table", tag("tbody", *rows), class_="terms")


def section(title: str, *children: str) -> Html:
    """A part of a page."""
    return tag("section", tag("h2", title), *children)


def pill(outcome: str) -> Html:
    """A verdict in a line or a cell."""
    return tag("span", outcome, class_=f"pill {css_class(outcome)}")


def css_class(outcome: str) -> str:
    """The class of a verdict."""
    return outcome.replace(" ", "-")
