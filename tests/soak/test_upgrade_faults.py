"""A canary between two real Istios, under load, and what must not come through it: it is taken back or held, and no request fails."""

import pytest

from testbed import pins
from tests.cluster.dirty_mesh import under_load
from tests.cluster.two_istios import TwoIstios
from tests.soak.upgrade_faults import FAULTS, Fault
from tests.soak.upgrade_mesh import NOTHING_TO_GO_BACK_TO, UPGRADE


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_version_that_must_not_come_through_does_not(old: TwoIstios, fault: Fault) -> None:
    """An image that never pulls, a webhook that is not reached, another root, proxies that reject it, a gateway without its routes."""
    before = old.where()
    with under_load(old.shell) as watched, fault.breaks(old.shell):
        done = old.carry_out("upgrade", *UPGRADE, *fault.flags)
    assert done.status == fault.status, done
    assert fault.words in f"{done.out}{done.err}".lower()
    assert watched.failures == []
    # What failed was taken back, and what is not proven is used by nothing; what was done before it stands.
    assert old.istiods().get("default") == pins.PREVIOUS
    back = old.carry_out("upgrade rollback")
    assert back.status in {0, NOTHING_TO_GO_BACK_TO}, back
    assert old.where() == before
