"""A preview as a comment of a pull request: whatever a stranger writes into files stays text, and pings nobody."""

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from meshinstall.cli.output.preview_text import MARKER, failing, preview_markdown, preview_text, status
from meshinstall.errors import ExitStatus
from meshinstall.model.authz import Expectation, Outcome, Request, Tried, Verdict, Workload
from meshinstall.model.diff import Concern, Consequence, FieldChange, ObjectChange, Verb
from meshinstall.model.facts import ObjectKey
from meshinstall.model.preview import Preview, SitePreview, TriedTwice

# What GitHub, a runner or a parser of Markdown makes something of.
HOSTILE = [
    "@org/team",
    "evil@example.com",
    "#12",
    "org/repo#12",
    "https://evil.example",
    "www.evil.example",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "</code></summary></details><img src=x>",
    "```\n</details>\n@org",
    "~~~\n# a",
    "-->",
    MARKER,
    "::add-mask::x",
    "\n::error::x",
    "##[error]x",
    "%0A::set-output name=a::b",
    "a\r::stop-commands::x",
]


def preview(text: str, outcome: Outcome = Outcome.DENY, *concerns: Concern) -> Preview:
    request = Expectation(text, text, Workload("shop", {}), Request(8080), Outcome.DENY)
    tried = TriedTwice(None, Tried(request, Verdict(outcome, text, text, text)))
    field = FieldChange(f"spec.{text}", text, f"{text} more", text)
    change = ObjectChange(ObjectKey("v1", "ConfigMap", "shop", text), None, Verb.CHANGE, (field,))
    deleted = ObjectChange(ObjectKey("v1", "ConfigMap", text, "a"), None, Verb.DELETE)
    summary = tuple(Consequence(one, text) for one in (concerns or (Concern.WIDER,)))
    changed = SitePreview(text, text, f"{text}1", (change, deleted), summary, (tried,))
    same = SitePreview(f"{text}2", text, text)
    gone = SitePreview(f"{text}3", text, "", summary=summary)
    return Preview("a" * 40, "b" * 40, (changed, same, gone), (Consequence(Concern.RESTART, text),))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_stranger_is_in_code_wherever_it_is(text: str) -> None:
    told = preview_markdown(preview(text, Outcome.ALLOW))
    assert told.startswith(f"{MARKER}\n### 2 of 3 sites change\n")
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(told)
    inline = [child for token in tokens for child in token.children or ()]
    assert not {child.type for child in inline} & {"html_inline", "image", "link_open"}
    core = " ".join(text.split())
    assert [child.content for child in inline if child.type == "text" and core in child.content] == []
    marker, opened, closed = [token.content for token in tokens if token.type == "html_block"]
    assert (marker, closed) == (f"{MARKER}\n", "</details>\n")
    assert opened.count("<") == 5
    assert [token.type for token in tokens].count("fence") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_no_line_is_a_command_of_a_pipeline(text: str) -> None:
    for told in (preview_markdown(preview(text, Outcome.ALLOW)), preview_text(preview(text, Outcome.ALLOW))):
        assert "\r" not in told
        assert [one for one in told.splitlines() if one.lstrip().startswith("::") or "##[" in one] == []


@pytest.mark.parametrize(
    ("outcome", "fail_on", "expected"),
    [
        (Outcome.DENY, (), ExitStatus.CHANGES_PENDING),
        (Outcome.DENY, (Concern.NARROWER,), ExitStatus.CHANGES_PENDING),
        (Outcome.DENY, (Concern.WIDER,), ExitStatus.VIOLATION),
        (Outcome.DENY, (Concern.RESTART,), ExitStatus.VIOLATION),
        (Outcome.UNDECIDED, (), ExitStatus.NOT_PROVEN),
        (Outcome.UNDECIDED, (Concern.WIDER,), ExitStatus.VIOLATION),
        (Outcome.ALLOW, (), ExitStatus.VIOLATION),
    ],
)
def test_a_violation_comes_before_what_is_undecided_and_what_changes(
    outcome: Outcome, fail_on: tuple[Concern, ...], expected: ExitStatus
) -> None:
    assert status(preview("a", outcome), fail_on) is expected


def test_concerns_are_named_once_in_the_order_of_the_question() -> None:
    found = preview("a", Outcome.DENY, Concern.WEAKER, Concern.WIDER)
    assert failing(found, [Concern.WIDER, Concern.CRD, Concern.WEAKER, Concern.WIDER]) == (Concern.WIDER, Concern.WEAKER)
    assert failing(replace(found, sites=()), list(Concern)) == (Concern.RESTART,)
