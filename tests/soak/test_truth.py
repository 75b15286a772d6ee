"""Thousands of random meshes before the real istiod: what meshinstall reads from objects is what proxies are sent."""

import os
from collections.abc import Iterator

import pytest

from testbed.referee.plane import Plane, plane
from tests.referees import court, judges
from tests.referees.kinds import istio
from tests.referees.strategies import Objects, generated

ROUNDS = 100
# 5,000 in all.
MESHES = 50
_MODES = ("", "STRICT", "PERMISSIVE", "DISABLE")


@pytest.fixture(scope="module")
def mesh() -> Iterator[Plane]:
    """A control plane of this worker."""
    with plane(f"truth-{os.getpid()}", print) as found:
        yield found


def common(number: int) -> Objects:
    """The policy of the whole mesh, another in each round; in some there is none."""
    mode = _MODES[number % len(_MODES)]
    return (istio("PeerAuthentication", "istio-system/default", {"mtls": {"mode": mode}}),) if mode else ()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_istiod_does_what_is_read_from_objects(mesh: Plane, number: int) -> None:
    """The round is the seed. The first mesh of each kind of disagreement is made small."""
    meshes = generated(MESHES, number)
    heard = list(court.hear(mesh, meshes, common(number)))
    cases = []
    for judge in (judges.server_side, judges.rule_side):
        wrong = [one for one, found in zip(meshes, heard, strict=True) if judge(found)]
        if wrong:
            small, said = court.shrunk(mesh, wrong[0], common(number), judge)
            cases.append(f"{judge.__name__}: {len(wrong)} of {MESHES} meshes\n{court.case(small, common(number), said, number)}")
    assert not cases, "\n".join(cases)
