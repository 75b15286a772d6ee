"""Every text that a user can see is plain English: no phrase of the list below is in any string of these parts of the package."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "meshinstall"
# Files and folders of the package; all of them hold the list without an exception.
AREAS = sorted(
    path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists() or (path.suffix == ".py" and path.name != "__init__.py")
)

# A phrase that makes a message a riddle, and what to write instead. Words of another meaning are left out by the pattern.
PLAINER: Mapping[str, str] = {
    r"(?<!there )\b(is|are|was|were|be|that is) no (?!longer\b|more\b)": "is not a ...",
    r"\b(is|are|be|was) none\b": "does not exist, or: is not a ...",
    r"\b(on|of|to|for|from|in) no (?!longer\b)\w": "not ... any",
    r"\b(is|are|was|were|not|be) (said|told)\b": "is reported, is given",
    r"\b(says|said) (not|nothing|which)\b": "does not say, sets nothing, printed nothing",
    r"\bwhose [\w ]*\bit is\b": "name it: which cluster, which option",
    r"\bof which\b": "cannot tell which ..., whose",
    r"(?<!it is )(?-i:\bnot known\b)(?! (to|here)\b)": "cannot tell, unknown, it is not known whether",
    r"\b(ends?|ended|ending) (on|in(?! (order|the middle)\b)|at|soon)\b|\bhas ended\b": "expires, expired",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\b(has|have|had|was|were) moved\b|\bmoved since\b": "changed",
    r"\bworld\b": "cluster, or name what it is",
    r"\bdied at\b": "was interrupted",
    r"\b(last|whole|own|final) words?\b": "renewal, message, or name what it is",
    r"\bmay stand\b|\bstands? (here|there|in|on|under|beside)\b": "is, is listed, is allowed",
    r"\bin contradiction\b|\bwithout contradiction\b": "contradictory, consistent",
    r"\bkeep(s|ing)? (it|them|the \w+) away\b": "excludes",
    r"\bprove(s|d)? nothing\b": "was inconclusive, cannot tell",
    r"\b(not|never) looked at\b|\blooked at yet\b": "not checked, not seen",
    r"\bmeans? (nothing|something else)\b": "has no effect, depends on",
    r"\bfor its sake\b": "because of it",
    r"\bin spite of\b": "despite",
    r"(?<!what )\b(goes|going|went|go) on\b": "continue",
    r"\bone (flag|line|key|value|document|file|pod|field|event|entry) an? ": "one ... for each ...",
    r"\btaken for\b": "read as, treated as",
    r"\b(is|are|be|was|end|ended) (well|ill)\b": "is healthy, succeeded",
    r"\banew\b": "again",
    r"\bspoke\b|\bspeaks? about\b": "set, sets",
    r"\bpassed over\b": "skipped",
    r"\bheld by nobody\b": "free",
    r"\bwritten out\b": "expanded, listed",
    r"\bhere twice\b": "duplicate, is listed twice",
    r"\bfrees itself\b": "expires",
    r"\bcould be none\b|\bthat is none\b": "is not a valid ...",
    r"\boverruled\b": "overridden",
}


def files(area: Path) -> list[Path]:
    return sorted(area.rglob("*.py")) if area.is_dir() else [area]


def has_docstring_for_help(node: ast.AST) -> bool:
    """Whether it is a command, whose docstring is what ``--help`` prints."""
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(part, ast.Attribute) and part.attr == "command" for decorator in node.decorator_list for part in ast.walk(decorator)
    )


def skipped(tree: ast.AST) -> set[ast.AST]:
    """Strings that no user sees, as docstrings of anything but commands, and parts of f-strings, which are read as a whole."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(node.value)
        if isinstance(node, ast.JoinedStr):
            found.update(part for value in node.values for part in ast.walk(value) if isinstance(value, ast.Constant))
    for node in ast.walk(tree):
        if has_docstring_for_help(node) and isinstance(node, ast.FunctionDef) and isinstance(node.body[0], ast.Expr):
            found.discard(node.body[0].value)
    return found


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string; what an f-string fills in is ``{}``, and the strings inside it are texts of their own."""
    tree = ast.parse(source)
    without = skipped(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in without:
            yield node.lineno, node.value


def riddles(source: str, name: str) -> list[str]:
    return [
        f"{name}:{line}: {match[0]!r}; write: {plainer} -- {text!r}"
        for line, text in texts(source)
        for phrase, plainer in PLAINER.items()
        if (match := re.search(phrase, text, re.IGNORECASE))
    ]


@pytest.mark.parametrize("area", AREAS)
def test_messages_are_plain_english(area: str) -> None:
    assert [line for file in files(PACKAGE / area) for line in riddles(file.read_text(), str(file.relative_to(ROOT)))] == []


def test_every_area_holds_texts() -> None:
    """A part that was renamed would be an empty search."""
    for area in AREAS:
        assert [text for file in files(PACKAGE / area) for text in texts(file.read_text())], area


SOURCE = '''\
"""A module may tell of the world."""

class Thing:
    """A class that is none."""

def quiet() -> None:
    """A world."""
    "A string that stands alone, of the world"

@app.command()
@selecting
def command() -> None:
    """Run it, or refuse if the world moved."""

@click.command(context_settings={})
def other() -> None:
    """Go on."""

raise Error(f"{name} is no cloud, "
            f"{'mend it' if good else text}")
there = "there is no profile, and it is no longer there"
split = ("the certificate "
         "ends on Monday")
'''


def test_a_phrase_is_found_wherever_a_user_can_read_it() -> None:
    assert [line.split(" -- ")[0] for line in sorted(riddles(SOURCE, "a.py"))] == [
        "a.py:13: 'world'; write: cluster, or name what it is",
        "a.py:17: 'Go on'; write: continue",
        "a.py:19: 'is no '; write: is not a ...",
        "a.py:20: 'mend'; write: fix",
        "a.py:22: 'ends on'; write: expires, expired",
    ]
