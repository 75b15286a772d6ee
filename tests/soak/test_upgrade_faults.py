"""A canary between two real Istios, under load, and what must not come through it: it is taken back or held, and no request fails."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from meshinstall.model.upgrade import StageName
from testbed import pins
from tests.cluster.dirty_mesh import under_load
from tests.cluster.meshinstall_run import Done
from tests.cluster.situations import Manifest, client, istio, space
from tests.cluster.two_istios import EOL, TwoIstios
from tests.soak.upgrade_faults import FAULTS, Fault
from tests.soak.upgrade_mesh import HELD, NOTHING_TO_GO_BACK_TO, UPGRADE, assert_finishes

# A server that nothing but its own client calls, and that is a PASS before: what is none then stops nothing.
SERVER = "web.shop.svc.cluster.local"


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


def test_plaintext_that_a_moved_gateway_begins_to_send_takes_it_back(old: TwoIstios) -> None:
    """A rule that appears in the middle lets the gateway that is being moved send plaintext."""
    before = old.where()
    with under_load(old.shell) as watched, removed_after(old, "istio-ingress"):
        done = during(old, StageName.GATEWAYS, plaintext("istio-ingress"))
        assert done.status == 1, done
        assert "✗ stage gateways: taken back" in done.err
    assert watched.failures == []
    back = old.carry_out("upgrade rollback")
    assert back.status == 0, back
    assert old.where() == before


def test_plaintext_of_an_owner_whose_workloads_were_not_moved_stops_nothing(old: TwoIstios) -> None:
    """A new client appears in the middle and sends plaintext, in a namespace of its own."""
    with under_load(old.shell) as watched:
        done = during(old, StageName.GATEWAYS, space("late"), client("late/client"), plaintext("late"))
        assert done.status == HELD, done
        assert "✗ stage workloads: held" in done.err
        old.shell.ok("kubectl", "delete", "namespace", "late")
        old.restart()
        assert_finishes(old)
    assert watched.failures == []


def plaintext(where: str) -> Manifest:
    """Lets all pods of a namespace send plaintext to a server."""
    return istio("DestinationRule", f"{where}/plain", {"host": SERVER, "trafficPolicy": {"tls": {"mode": "DISABLE"}}, "exportTo": ["."]})


@contextmanager
def removed_after(istios: TwoIstios, where: str) -> Iterator[None]:
    """Takes the rule of a namespace away at the end."""
    try:
        yield
    finally:
        istios.shell.ok("kubectl", "delete", "destinationrule", "-n", where, "plain", "--ignore-not-found")


def during(istios: TwoIstios, stage: str, *objects: Manifest) -> Done:
    """Begin an upgrade, apply objects when a stage begins, and wait for its end."""
    with istios.program.started("upgrade", "--yes", *EOL, *UPGRADE) as run:
        run.until_it_says(rf"stage \d+ of \d+, {re.escape(stage)}")
        istios.shell.apply(*objects)
        return run.wait()
