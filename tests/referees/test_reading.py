"""What meshinstall reads from an Envoy is what that Envoy puts on the wire, for random meshes."""

import pytest

from testbed.referee.plane import Plane
from testbed.referee.proxy import Proxy
from tests.referees import court, wire_reading
from tests.referees.judges import pod_of
from tests.referees.strategies import generated, placed

pytestmark = pytest.mark.tools

MESHES = 12


@pytest.mark.parametrize("number", range(MESHES))
def test_the_wire_shows_what_is_read(mesh: Plane, number: int) -> None:
    # The first of each seed is the simplest of all.
    objects = generated(3, number)[-1]
    stored = mesh.apply(*placed(objects, number))
    try:
        for client in (found for found in stored if found["metadata"]["name"] == "client"):
            with Proxy(mesh, client) as proxy:
                found = wire_reading.disagreements(proxy, pod_of(client), stored)
            assert not found, court.case(objects, (), found, number)
    finally:
        mesh.remove(*stored)
