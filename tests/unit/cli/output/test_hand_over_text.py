"""The order of work as people and programs read it."""

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from meshinstall.cli.output.hand_over_text import hand_over_json, hand_over_text, status
from meshinstall.errors import ExitStatus
from meshinstall.model.hand_over import HandOver, Party, Work, WorkState, in_order
from tests.cluster.meshinstall_run import REPOSITORY

SAME = Work("the mesh is what the files say", WorkState.DONE)
MARKS = Work("no object has the mark of an engine", WorkState.OPEN, ("2 have one",), ("by hand:",), ("kubectl annotate -n a b/c x-",))
RECORDS = Work("meshinstall has installed every release", WorkState.OPEN, ("not yet",), (), ("meshinstall up",))
FOUND = HandOver("prod/eks", "arn:cluster", Party.MESHINSTALL, in_order((SAME, MARKS, RECORDS)))


def test_the_next_step_alone_says_what_to_do() -> None:
    assert hand_over_text(FOUND) == (
        """\
Hand over prod/eks on arn:cluster to meshinstall

✓ 1 the mesh is what the files say
▸ 2 no object has the mark of an engine
    2 have one
    by hand:
      kubectl annotate -n a b/c x-
· 3 meshinstall has installed every release

2 of 3 steps are left. Run this again after each: it changes nothing, and says
what is next."""
    )


@pytest.mark.parametrize(
    ("works", "expected"),
    [
        ((SAME,), ExitStatus.DONE),
        ((SAME, MARKS), ExitStatus.CHANGES_PENDING),
        ((replace(SAME, state=WorkState.NOT_KNOWN), MARKS), ExitStatus.CHANGES_PENDING),
        ((replace(SAME, state=WorkState.NOT_KNOWN),), ExitStatus.NOT_PROVEN),
    ],
)
def test_the_exit_status_says_whether_something_is_left(works: tuple[Work, ...], expected: ExitStatus) -> None:
    assert status(replace(FOUND, works=works)) is expected


def test_when_nothing_is_left_the_next_thing_is_the_proof() -> None:
    text = hand_over_text(replace(FOUND, to=Party.ARGOCD, works=(SAME,)))
    assert text.endswith("Nothing is left: Argo CD keeps the mesh. Prove it: meshinstall verify")


def test_what_a_cluster_says_cannot_write_to_the_terminal() -> None:
    assert "\x1b" not in hand_over_text(replace(FOUND, works=(replace(MARKS, says=("\x1b[2J",)),)))


def test_it_follows_its_schema() -> None:
    schema = json.loads((REPOSITORY / "docs/schemas/hand-over.json").read_text())
    Draft202012Validator(schema).validate(json.loads(json.dumps(hand_over_json(FOUND))))
