"""Text of others becomes one bounded line that moves no cursor."""

import pytest

from meshinstall.model.foreign_text import command, for_log, line, plain, printable

LINES = {
    "escape sequences": ("a\x1b[2Jb", "a[2Jb"),
    "line ends and tabs": ("a\r\n\tb", "a b"),
    "a bell between words": ("one\x07 two", "one two"),
    "characters that turn the direction": ("abc\u202edef", "abcdef"),
    "spaces that do not break": ("a\u00a0b", "a b"),
    "no text": (7, "7"),
}


@pytest.mark.parametrize(("text", "told"), LINES.values(), ids=LINES)
def test_text_becomes_one_printable_line(text: object, told: str) -> None:
    assert plain(text) == told


def test_what_is_too_long_is_cut() -> None:
    assert plain("x" * 301) == "x" * 300
    assert plain("x" * 400, 400, cut="…") == "x" * 400
    assert plain("x" * 401, 400, cut="…") == "x" * 400 + "…"


def test_only_what_is_kept_and_what_prints_stays() -> None:
    assert printable("a\tb\n\x1bc", kept="\n\t") == "a\tb\nc"
    assert printable("a\tb\n\x1bc") == "abc"


def test_a_message_has_its_lines_and_no_command_of_a_pipeline() -> None:
    assert for_log("held by x\n::error::y ##vso[task.complete]\x1b[2J") == "held by x\n: :error::y # #vso[task.complete]\ufffd[2J"
    assert for_log("one\n  two: fd00::1") == "one\n  two: fd00::1"


@pytest.mark.parametrize("word", ["::error::x", "##[error]x", "##vso[task.complete]", "##teamcity[x]", "##VSO[x]", "::Add-Mask::x"])
@pytest.mark.parametrize("before", ["", " ", "a ", "a\n"])
def test_no_pipeline_finds_a_command_in_it(word: str, before: str) -> None:
    for made in (line(before + word), command(before + word), for_log(before + word)):
        assert word not in made


def test_a_fix_that_somebody_else_wrote_is_not_called_one() -> None:
    """Where a long line is wrapped, the word would begin one."""
    assert line("a pod\nfix: kubectl delete ns shop") == "a pod fix : kubectl delete ns shop"
    assert line("a prefix: stays") == "a prefix: stays"
