"""What a piece of a stage did is taken back: releases as they were recorded, tags as they were, and nothing else."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.staging.undo import Before, undo_plan
from meshinstall.engine.upgrade.pieces import Piece, narrow
from meshinstall.model.facts import ObjectKey
from meshinstall.model.plan import Action, ObjectStep, ReleaseStep
from meshinstall.model.release import ChartRef, Component, Manifest, ReleaseStatus
from meshinstall.model.upgrade import StageName
from tests.fakes import record
from tests.unit.engine import revisioned

DESIRED = revisioned.desired()
ISTIOD = narrow(DESIRED, [one for one in DESIRED.releases if one.component is Component.ISTIOD], ("default",))
PIECE = Piece(StageName.TAGS, "default", ISTIOD, tags=("default",))
KEY = ISTIOD.releases[0].key
OLD = replace(record(KEY, "istiod", "1.30.4"), revision=3, values={"revision": "1-30", "a": 1})
CHART = ChartRef("istiod", "1.30.4", "oci://r/charts", "sha256:1")
TAG = ObjectKey("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "istio-revision-tag-default")


def tag(revision: str, **metadata: object) -> Manifest:
    labels = {"istio.io/tag": "default", "istio.io/rev": revision}
    return {
        "metadata": {"name": TAG.name, "labels": labels, "uid": "u", "resourceVersion": "7", **metadata},
        "webhooks": [{"name": revision}],
    }


def test_what_was_not_there_is_removed_and_what_was_upgraded_gets_its_old_chart_and_values() -> None:
    now = replace(OLD, revision=4, version="1.31.0", values={})
    (gone,) = undo_plan(PIECE, Before(), Before({KEY: now}), {}).pending
    assert isinstance(gone, ReleaseStep)
    assert (gone.action, gone.release, gone.revision) == (Action.UNINSTALL, KEY, 4)
    (back,) = undo_plan(PIECE, Before({KEY: OLD}), Before({KEY: now}), {KEY: CHART}).pending
    assert isinstance(back, ReleaseStep)
    assert (back.action, back.chart, back.values, back.revision) == (Action.UPGRADE, CHART, {"revision": "1-30", "a": 1}, 4)


def test_a_release_that_a_killed_helm_left_is_freed_first() -> None:
    now = replace(OLD, revision=4, status=ReleaseStatus.PENDING_UPGRADE)
    (back,) = undo_plan(PIECE, Before({KEY: OLD}), Before({KEY: now}), {KEY: CHART}).pending
    assert isinstance(back, ReleaseStep)
    assert back.repair


def test_what_was_not_touched_stays() -> None:
    assert undo_plan(
        PIECE, Before({KEY: OLD}, {TAG: tag("1-30")}), Before({KEY: OLD}, {TAG: tag("1-30", resourceVersion="8")}), {}
    ).is_empty
    assert undo_plan(PIECE, Before(), Before(), {}).is_empty


def test_a_tag_goes_back_before_its_istiod_goes_and_a_new_one_is_deleted_by_its_uid() -> None:
    now = Before({KEY: replace(OLD, revision=1)}, {TAG: tag("1-31")})
    moved, istiod = undo_plan(PIECE, Before({}, {TAG: tag("1-30")}), now, {}).pending
    assert isinstance(moved, ObjectStep)
    assert moved.action is Action.APPLY
    assert moved.manifest["metadata"]["labels"]["istio.io/rev"] == "1-30"
    assert not {"uid", "resourceVersion", "managedFields"} & moved.manifest["metadata"].keys()
    assert istiod.needs == (moved.name,)
    deleted, _ = undo_plan(PIECE, Before(), now, {}).pending
    assert isinstance(deleted, ObjectStep)
    assert (deleted.action, deleted.manifest["metadata"]["uid"]) == (Action.DELETE, "u")


revisions = st.sampled_from(["1-30", "1-31"]) | st.none()


@given(revisions, revisions, st.integers(0, 2), st.integers(0, 2))
def test_the_way_back_is_empty_only_where_nothing_differs(old: str | None, new: str | None, before: int, after: int) -> None:
    def seen(revision: str | None, number: int) -> Before:
        return Before({KEY: replace(OLD, revision=number)} if number else {}, {TAG: tag(revision)} if revision else {})

    differs = old != new or (after and before != after)
    assert undo_plan(PIECE, seen(old, before), seen(new, after), {KEY: CHART}).is_empty != bool(differs)
