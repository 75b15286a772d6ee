"""JSON for programs, on a terminal."""

import json

from hypothesis import given
from hypothesis import strategies as some

from meshinstall.cli.output.printers import dump


@given(some.dictionaries(some.text(), some.text() | some.integers() | some.lists(some.text())))
def test_no_character_of_a_server_moves_a_cursor_and_programs_read_what_it_sent(document: dict[str, object]) -> None:
    text = dump(document)
    assert all(char == "\n" or char.isprintable() for char in text)
    assert json.loads(text) == document


def test_letters_stay_letters() -> None:
    assert dump({"a": "é\x9b2J\u202e\U000e0001"}) == '{\n  "a": "é\\u009b2J\\u202e\\udb40\\udc01"\n}'
