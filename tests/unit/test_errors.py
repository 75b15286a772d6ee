"""What is shown of errors."""

import pytest

from meshinstall.errors import safe


@pytest.mark.parametrize(("kept", "shown"), [("\n", "a\nb�c�[2J"), ("\n\t", "a\nb\tc�[2J"), ("", "a�b�c�[2J")])
def test_a_character_that_does_not_print_is_marked_unless_it_is_kept(kept: str, shown: str) -> None:
    assert safe("a\nb\tc\x1b[2J", kept) == shown
