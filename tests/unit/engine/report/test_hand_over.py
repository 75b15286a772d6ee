"""A hand-over is an answer or a message, whatever an engine's objects are like."""

from typing import Any

import pytest

from meshinstall.engine.handover.own_objects import APPLICATION, KUSTOMIZATION, RELEASE, SET
from meshinstall.engine.handover.terms import Scene
from meshinstall.engine.report.hand_over import judge
from meshinstall.errors import ClusterError
from meshinstall.model.hand_over import Party
from tests.cases import gitops

ODD: list[dict[str, Any]] = [
    {"metadata": {"name": "a", "namespace": "b", "finalizers": "x", "ownerReferences": {}}, "status": {"resources": 5}},
    {"metadata": {"name": "mesh-prod-eks", "namespace": 1}, "spec": [], "status": "no"},
    {
        "metadata": {"name": "a", "namespace": "b"},
        "status": {"inventory": {"entries": [{"id": 5}, None]}, "conditions": 5},
        "spec": {"suspend": "x"},
    },
]


def told(odd: dict[str, Any], kind: str, to: Party) -> str:
    """The message; empty where it is an answer."""
    owned = {one: ((odd,) if one == kind else ()) for one in (APPLICATION, SET, KUSTOMIZATION, RELEASE)}
    try:
        judge(Scene(gitops.mesh("prod"), owned=owned), "here", to)
    except ClusterError as error:
        return error.message
    return ""


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", [APPLICATION, SET, KUSTOMIZATION, RELEASE])
@pytest.mark.parametrize("to", list(Party))
def test_an_odd_object_of_an_engine_is_an_answer_or_a_message(odd: dict[str, Any], kind: str, to: Party) -> None:
    message = told(odd, kind, to)
    assert not message or "has an unknown shape" in message


def test_what_is_of_another_shape_where_it_decides_is_a_message() -> None:
    assert "has an unknown shape" in told(ODD[0], APPLICATION, Party.MESHINSTALL)
