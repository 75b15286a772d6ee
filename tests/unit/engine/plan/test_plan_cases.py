"""Every folder of tests/cases/plan: what is wanted and what is there make this plan, for people and for programs."""

import pytest

from tests.cases import plans


@pytest.mark.parametrize("name", plans.names())
def test_plan(name: str) -> None:
    expected = {file: (plans.FOLDER / name / file).read_text() for file in ("plan.txt", "plan.json")}
    assert plans.rendered(plans.load(name).plan()) == expected, "if this is right, run scripts/golden"
