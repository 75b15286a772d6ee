"""What clouds refuse: kinds are found by code and words, and each cloud's page shows its whole table."""

import pytest

from meshinstall.adapters.cloud.refusals import Refusal, find
from tests.cases.refusals import DOCS, TABLES, text

POLICY = Refusal(
    ("AccessDenied",), "an organisation's policy denies it", "ask its administrators", "https://a.example/scp", "service control policy"
)
PLAIN = Refusal(("AccessDenied", "AccessDeniedException"), "a permission is missing", "ask for it", "https://a.example/iam")


def test_the_first_kind_that_fits_is_found_by_code_and_words() -> None:
    assert find((POLICY, PLAIN), "AccessDenied", "with an explicit deny in a Service Control Policy") is POLICY
    assert find((POLICY, PLAIN), "AccessDenied", "no policy allows it") is PLAIN
    assert find((POLICY, PLAIN), "Throttling") is None


def test_a_page_gets_its_table_between_its_marks() -> None:
    page = "a\n<!-- refusals: scripts/golden writes this table -->\nbefore\n<!-- end of refusals -->\nb\n"
    written = text(page, (POLICY,))
    assert "before" not in written
    assert "| `AccessDenied` with “service control policy” | an organisation's policy denies it | ask its administrators" in written
    with pytest.raises(ValueError, match="no place"):
        text("nothing", (POLICY,))


@pytest.mark.parametrize("cloud", TABLES)
def test_each_page_is_as_its_table(cloud: str) -> None:
    page = (DOCS / f"{cloud}.md").read_text()
    assert text(page, TABLES[cloud]) == page
