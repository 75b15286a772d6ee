"""A canary between two real Istios, under load, beside a GitOps engine that puts back what it moves.

It stops, takes its stage back, and names who did it.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.cluster.dirty_mesh import under_load
from tests.cluster.mesh import Shell
from tests.cluster.situations import Manifest
from tests.cluster.two_istios import TwoIstios
from tests.soak.upgrade_mesh import UPGRADE

ENGINE = "argocd-controller"
GATEWAY = "istio-ingress"
INJECTOR = "istio-sidecar-injector"
# Seconds between two looks of the engine; it is at work for the length of a block.
_RESYNC = 0.5


def test_a_gateway_that_an_engine_puts_back_stops_its_stage_with_the_engines_name(old: TwoIstios) -> None:
    what = ("deployment", "-n", GATEWAY, GATEWAY)
    told = f"Deployment {GATEWAY}/{GATEWAY} was edited by {ENGINE}"
    stops_and_goes_back(old, reverting(old.shell, what, '"istio.io/rev": "1-31"', old_gateway()), "gateways", told)


def test_an_injector_that_an_engine_switches_on_again_stops_the_tags_with_the_engines_name(old: TwoIstios) -> None:
    """The engine has the chart of the istiod without a revision, whose injector the stage switches off."""
    engine = reverting(old.shell, ("mutatingwebhookconfiguration", INJECTOR), "never-match", injector(old.shell))
    stops_and_goes_back(old, engine, "tags", f"MutatingWebhookConfiguration {INJECTOR} was switched on again by {ENGINE}")


def stops_and_goes_back(old: TwoIstios, engine: AbstractContextManager[None], stage: str, told: str) -> None:
    """Beside the engine the upgrade stops at a stage, and says why; without it, it goes back to where it was, and no request fails."""
    before = old.where()
    with under_load(old.shell) as watched:
        with engine:
            done = old.carry_out("upgrade", *UPGRADE)
            assert done.status == 1, done
        assert f"at stage {stage}" in done.out
        assert told in f"{done.out}{done.err}"
        back = old.carry_out("upgrade rollback")
        assert back.status == 0, back
        assert old.where() == before
    assert watched.failures == []


def injector(shell: Shell) -> Manifest:
    """What Git has of the injector: what its webhooks select now."""
    live = json.loads(shell.ok("kubectl", "get", "mutatingwebhookconfiguration", INJECTOR, "-o", "json"))
    kept = ("name", "namespaceSelector", "objectSelector")
    webhooks = [{field: hook[field] for field in kept if field in hook} for hook in live["webhooks"]]
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": {"name": INJECTOR}, "webhooks": webhooks}


def old_gateway() -> Manifest:
    """What Git has of the gateway: the revision that it had."""
    template = {"metadata": {"labels": {"istio.io/rev": "default"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": GATEWAY, "namespace": GATEWAY},
        "spec": {"template": template},
    }


@contextmanager
def reverting(shell: Shell, what: tuple[str, ...], moved: str, in_git: Manifest) -> Iterator[None]:
    """An engine that applies what Git says whenever it sees that an object was moved."""
    ended, troubles, applied = threading.Event(), [], []

    def resync() -> None:
        while not ended.wait(_RESYNC):
            try:
                live = shell.ok("kubectl", "get", *what, "-o", "json", "--ignore-not-found")
                if live and moved in json.dumps(json.loads(live)):
                    shell.ok("kubectl", "apply", "--server-side", "--force-conflicts", f"--field-manager={ENGINE}", "-f", "-", given=in_git)
                    applied.append(moved)
            except Exception as error:  # noqa: BLE001 - told where the block ends
                troubles.append(error)
                return

    engine = threading.Thread(target=resync)
    engine.start()
    try:
        yield
    finally:
        ended.set()
        engine.join()
    assert not troubles, troubles
    assert applied, "the engine had nothing to put back"
