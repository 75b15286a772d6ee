"""A diff for people is short, and nothing that a cluster says becomes markup in a pull request."""

from dataclasses import replace
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from meshinstall.cli.output.plan_diff import diff_json, diff_lines, field_lines, summary_lines
from meshinstall.cli.output.plan_markdown import code, plan_markdown
from meshinstall.cli.output.printers import plan_text
from meshinstall.model.diff import Concern, Consequence, FieldChange, ObjectChange, Verb
from meshinstall.model.facts import ObjectKey
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import line
from meshinstall.model.release import ReleaseKey
from tests.cases import plans

PLAN = plans.load("value-changed").plan()
ISTIOD = ReleaseKey("istio-system", "istiod")
_HOSTILE = st.text(st.sampled_from("ab <>&`*_[]()#|!~@:/\\\"'-+=\n\x1b\u202e1."), max_size=60)


def deployment(*fields: FieldChange, name: str = "istiod") -> ObjectChange:
    return ObjectChange(ObjectKey("apps/v1", "Deployment", "istio-system", name), ISTIOD, Verb.CHANGE, fields)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (FieldChange("a.b", None, 1, "x.yaml:2"), "+ a.b: 1   (x.yaml:2)"),
        (FieldChange("a.b", 1, None), "- a.b: 1"),
        (FieldChange("a.b", 1, "c"), '~ a.b: 1 → "c"'),
    ],
)
def test_a_field_is_a_line(change: FieldChange, text: str) -> None:
    assert list(field_lines(change)) == [text]


def test_of_a_longer_text_all_lines_that_differ_are_shown() -> None:
    assert list(field_lines(FieldChange("a", "one\ntwo\n", "one\nthree\n", "f:1"))) == ["~ a   (f:1)", "    -two", "    +three"]
    many = list(field_lines(FieldChange("a", "x\n", "".join(f"{number}\n" for number in range(100)))))
    assert many == ["~ a", "    -x", *(f"    +{number}" for number in range(100))]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("a\n-- gone\n", "a\n", ["--- gone"]),
        ("a\n", "a\n++ come\n", ["+++ come"]),
        ("--\n-- b\n", "++\n++ b\n", ["---", "--- b", "+++", "+++ b"]),
        ("a\nb\n", "a\r\nb\n", ["-a", "+a\\r"]),
        ("a\nb\n", "a\nb", ["-"]),
    ],
)
def test_a_line_that_looks_like_a_head_of_a_diff_is_shown(before: str, after: str, lines: list[str]) -> None:
    assert list(field_lines(FieldChange("a", before, after))) == ["~ a", *(f"    {text}" for text in lines)]


@given(before=_HOSTILE, after=_HOSTILE)
def test_no_change_of_a_text_is_without_a_line(before: str, after: str) -> None:
    lines = list(field_lines(FieldChange("a", f"x\n{before}", f"x\n{after}")))
    assert (len(lines) > 1) == (before != after)


def test_of_a_large_object_the_first_lines_are_shown_and_the_others_counted() -> None:
    large = deployment(*(FieldChange(f"spec.f{number}", 1, 2) for number in range(5_000)))
    lines = diff_lines([large, deployment(FieldChange("spec.x", 1, 2), name="other")])
    assert lines[1000:] == ["      4,001 more lines not shown: see -o json", "~ Deployment istio-system/other", "      ~ spec.x: 1 → 2"]
    assert len(diff_json([large])[0]["fields"]) == 5_000


@pytest.mark.parametrize(
    "fields",
    [
        [FieldChange(f"spec.f{number}", 1, 2) for number in range(5_000)],
        [FieldChange(f"spec.f{number}", 1, "x" * 900) for number in range(90)],
        [FieldChange("spec.x", "a" * 100_000, "b" * 100_000)],
        [FieldChange("data.x", "a\n", "b\n" * 50_000)],
    ],
)
def test_a_large_object_leaves_room_for_others_in_a_pull_request(fields: list[FieldChange]) -> None:
    other = deployment(FieldChange("spec.y", 1, 2), name="other")
    text = plan_markdown(replace(PLAN, diff=(deployment(*fields), deployment(*fields, name="more"), other)))
    assert "! spec.y: 1 → 2" in text
    assert text.count(" more lines not shown: see -o json\n```") + text.count(" more characters)\n```") == 2
    assert len(text) < 60_000


def test_a_value_is_shown_to_its_end_and_nothing_in_it_is_hidden() -> None:
    hub = f"registry.example/{'mirror/' * 30}istio"
    assert any(f'"{hub}"' in text for text in diff_lines([deployment(FieldChange("spec.image", "a", hub))]))
    (shown,) = field_lines(FieldChange("a", "x", "b\u202ec\x1b[2J"))
    assert shown == '~ a: "x" → "b\\u202ec\\u001b[2J"'


def test_objects_that_only_name_another_chart_are_counted() -> None:
    label = FieldChange("metadata.labels.helm.sh/chart", "istiod-1.30.0", "istiod-1.31.0")
    assert diff_lines([deployment(label), deployment(label, FieldChange("spec.x", 1, 2))]) == [
        "~ Deployment istio-system/istiod",
        "      ~ spec.x: 1 → 2",
        "~ 1 object: only what names the chart's version and its values",
    ]
    assert len(diff_json([deployment(label)])[0]["fields"]) == 1


def test_the_text_has_the_diff_when_it_is_asked_for() -> None:
    plan = replace(PLAN, diff=(deployment(FieldChange("spec.x", 1, 2)),), summary=(Consequence(Concern.RESTART, "it restarts"),))
    assert "      ~ spec.x: 1 → 2" in plan_text(plan, diff=True)
    assert "spec.x" not in plan_text(plan)
    assert "  restarts   it restarts" in plan_text(plan)


@given(_HOSTILE)
def test_lines_of_a_summary_stay_lines(text: str) -> None:
    for told in summary_lines([Consequence(Concern.ACCESS, text), Consequence(Concern.ACCESS, "word " * 40)]):
        assert told.isprintable()


@given(_HOSTILE)
def test_a_word_of_a_cluster_is_text_in_markdown(text: str) -> None:
    (_, inline, _) = parsed(f"x {code(text)} x")
    assert [(token.type, token.content) for token in inline.children or () if token.type != "text"] == (
        [("code_inline", line(text))] if line(text) else []
    )


# What GitHub makes something of outside of code: tags after a link of the form www., links, mentions, references, formulas.
_FOREIGN = [
    "www.e.xy<img src=//evil.example/x.png>",
    "www.evil.example",
    "evil@example.com",
    "&#64;org",
    "@org/team",
    "#12",
    "GH-12",
    "org/repo#12",
    "$x$",
    "$`x`$",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "a | b",
    "a \\| b",
    "`",
    "``a` | `b",
    " zq ",
    "</code></summary><img src=x>",
    "https://evil.example",
]


@pytest.mark.parametrize("text", _FOREIGN)
def test_text_of_a_cluster_is_in_code_wherever_it_is(text: str) -> None:
    step = next(one for one in PLAN.pending)
    finding = Finding("PRE001", Severity.WARNING, text, text, "", text, text)
    diff = (replace(deployment(FieldChange(f"spec.{text}", 1, text), name=text)), replace(deployment(name=text), verb=Verb.DELETE))
    plan = replace(
        PLAN,
        environment=text,
        cluster=text,
        steps=(replace(step, name=text, reasons=(text, text)),),
        findings=(finding,),
        summary=(Consequence(Concern.ACCESS, text),),
        diff=diff,
    )
    tokens = parsed(plan_markdown(plan))
    inline = [child for token in tokens for child in token.children or ()]
    spans = [child.content for child in inline if child.type == "code_inline"]
    assert sum(one in {text, f"written in {text}", f"Deployment istio-system/{text}"} for one in spans) == 11
    assert not {child.type for child in inline} & {"html_inline", "image", "link_open"}
    assert not [child.content for child in inline if child.type == "text" and text.strip() in child.content and len(text) > 1]
    (row,) = [index for index, token in enumerate(tokens) if token.type == "tbody_open"]
    assert [token.type for token in tokens[row:]].count("td_open") == 4
    opened = next(token.content for token in tokens if token.type == "html_block")
    assert f"<code>Deployment istio-system/{escape(text)}</code></summary>" in opened


def test_code_has_as_many_ticks_as_it_needs() -> None:
    assert [code(text) for text in ("", "a", "`", "a``b", " a ", "`a`", "a\nb")] == [
        *("", "`a`", "`` ` ``", "```a``b```", "`  a  `", "`` `a` ``", "`a b`"),
    ]


@given(name=_HOSTILE, before=_HOSTILE, after=_HOSTILE)
def test_no_object_leaves_its_block(name: str, before: str, after: str) -> None:
    change = deployment(FieldChange(f"spec.{name}", before, after, name), name=name)
    plan = replace(PLAN, diff=(change, replace(change, fields=(), verb=Verb.DELETE)), summary=(Consequence(Concern.ACCESS, after),))
    text = plan_markdown(plan)
    tokens = parsed(text)
    # Two blocks of HTML, both ours: the beginning of the details with the name as text, and their end.
    opened, closed = (token.content for token in tokens if token.type == "html_block")
    assert opened.count("<") == 5
    assert closed == "</details>\n"
    assert sum(token.type == "fence" for token in tokens) == 1
    assert not any(child.type in {"html_inline", "image", "link_open"} for token in tokens for child in token.children or ())


def test_a_pull_request_takes_it_however_long_it_is() -> None:
    changes = tuple(deployment(FieldChange("spec.x", "a" * 50, "b" * 50), name=f"n{number}") for number in range(2_000))
    text = plan_markdown(replace(PLAN, diff=changes))
    assert len(text) < 65_536
    assert text.endswith("parts)")


def parsed(text: str) -> list[Token]:
    return MarkdownIt("gfm-like", {"linkify": False}).parse(text)
