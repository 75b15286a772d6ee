"""The validating webhook of chart base refuses from the first moment only where an istiod of this mesh answers it."""

from pathlib import Path

import pytest

from tests.unit.config.projects import release, resolved

FAIL = {"base": {"validationFailurePolicy": "Fail"}}


@pytest.mark.parametrize(
    "sets",
    [(), ("base.defaultRevision=default",), ("istiod.revision=canary", "base.defaultRevision=canary")],
)
def test_it_fails_where_the_default_revision_is_installed_here(tmp_path: Path, sets: tuple[str, ...]) -> None:
    values = release(resolved(tmp_path, sets=sets), "istio-base").values
    assert values.merged()["base"] == FAIL["base"]
    assert str(values.explain(("base", "validationFailurePolicy"))[-1].origin) == "<built-in> base"


@pytest.mark.parametrize(
    "sets",
    [
        ("istiod.revision=canary",),
        ("istiod.revision=default",),
        ("base.defaultRevision=",),
        ("base.defaultRevision=other",),
        ("istiod.profile=remote",),
        ("istiod.istiodRemote.enabled=true",),
        ("istiod.global.resourceScope=cluster",),
    ],
)
def test_the_chart_decides_where_nobody_here_would_answer(tmp_path: Path, sets: tuple[str, ...]) -> None:
    assert "base" not in release(resolved(tmp_path, sets=sets), "istio-base").values.merged()


def test_a_webhook_that_leads_elsewhere_is_left_to_its_owner(tmp_path: Path) -> None:
    desired = resolved(tmp_path, sets=("base.base.validationURL=https://elsewhere.example/validate",))
    assert "validationFailurePolicy" not in release(desired, "istio-base").values.merged()["base"]


def test_what_a_user_writes_wins(tmp_path: Path) -> None:
    desired = resolved(tmp_path, sets=("base.base.validationFailurePolicy=Ignore",))
    assert release(desired, "istio-base").values.merged()["base"] == {"validationFailurePolicy": "Ignore"}
