"""A canary between two real Istios, under load, beside a GitOps engine that puts back what it moves, and with a chart that was replaced.

It stops, takes its stage back, and names who did it; without the engine the same command finishes.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from testbed import pins
from tests.cluster.dirty_mesh import under_load
from tests.cluster.mesh import Shell
from tests.cluster.situations import Manifest
from tests.cluster.two_istios import TwoIstios
from tests.soak.upgrade_mesh import UPGRADE, assert_finishes

ENGINE = "argocd-controller"
GATEWAY = "istio-ingress"
TAG = "istio-revision-tag-default"
# Seconds between two looks of the engine; it is at work for the length of a block.
_RESYNC = 0.5


def test_a_gateway_that_an_engine_puts_back_stops_its_stage_with_the_engines_name(old: TwoIstios) -> None:
    before = old.where()
    with under_load(old.shell) as watched:
        with reverting(old.shell, ("deployment", "-n", GATEWAY, GATEWAY), '"istio.io/rev": "1-31"', old_gateway):
            done = old.carry_out("upgrade", *UPGRADE)
            assert done.status == 1, done
        assert "at stage gateways" in done.out
        assert f"Deployment {GATEWAY}/{GATEWAY} was edited by {ENGINE}" in f"{done.out}{done.err}"
        back = old.carry_out("upgrade rollback")
        assert back.status == 0, back
        assert old.where() == before
    assert watched.failures == []


def test_a_tag_that_an_engine_puts_back_stops_its_stage_with_the_engines_name(old: TwoIstios) -> None:
    before = old.where()
    with under_load(old.shell) as watched:
        with reverting(old.shell, ("mutatingwebhookconfiguration", TAG), '"istio.io/rev": "1-31"', old_tag):
            done = old.carry_out("upgrade", *UPGRADE)
            assert done.status == 1, done
        assert "at stage tags" in done.out
        assert f"MutatingWebhookConfiguration {TAG} was edited by {ENGINE}" in f"{done.out}{done.err}"
        back = old.carry_out("upgrade rollback")
        assert back.status == 0, back
        assert old.where() == before
    assert watched.failures == []


def test_a_chart_that_was_replaced_under_its_number_changes_nothing_until_it_is_mended(old: TwoIstios, tmp_path: Path) -> None:
    old.program.ok("lock", "--update", "--istio-version", pins.ISTIO)
    before = old.where()
    # A machine that has fetched the locked chart before still has it, by its digest: only another one sees what is there now.
    elsewhere = replace(old, program=old.program.having(XDG_CACHE_HOME=str(tmp_path)))
    archive = old.folder / "charts" / f"base-{pins.ISTIO}.tgz"
    with under_load(old.shell) as watched:
        with replaced(archive):
            done = elsewhere.carry_out("upgrade", *UPGRADE)
            assert done.status == 1, done
            assert f"chart base {pins.ISTIO}" in f"{done.out}{done.err}"
            assert old.where() == before
        assert_finishes(old)
    assert watched.failures == []


def old_gateway(_: Manifest) -> Manifest:
    """What Git has of the gateway: the revision that it had."""
    template = {"metadata": {"labels": {"istio.io/rev": "default"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": GATEWAY, "namespace": GATEWAY},
        "spec": {"template": template},
    }


def old_tag(live: Manifest) -> Manifest:
    """What Git has of the tag: the istiod that it led to."""
    hooks = [
        {**hook, "clientConfig": {"service": {**hook["clientConfig"]["service"], "name": "istiod"}}}
        for hook in json.loads(json.dumps(live["webhooks"]))
    ]
    metadata = {"name": TAG, "labels": {"istio.io/rev": "default"}}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "webhooks": hooks}


@contextmanager
def reverting(shell: Shell, what: tuple[str, ...], moved: str, in_git: Callable[[Manifest], Manifest]) -> Iterator[None]:
    """An engine that applies what Git says whenever it sees that an object was moved."""
    ended, troubles, applied = threading.Event(), [], []

    def resync() -> None:
        while not ended.wait(_RESYNC):
            try:
                live = shell.ok("kubectl", "get", *what, "-o", "json", "--ignore-not-found")
                if live and moved in json.dumps(json.loads(live)):
                    wanted = in_git(json.loads(live))
                    shell.ok("kubectl", "apply", "--server-side", "--force-conflicts", f"--field-manager={ENGINE}", "-f", "-", given=wanted)
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


@contextmanager
def replaced(archive: Path) -> Iterator[None]:
    """The same chart in other bytes: gzip ignores zeros behind its end."""
    whole = archive.read_bytes()
    archive.write_bytes(whole + bytes(512))
    try:
        yield
    finally:
        archive.write_bytes(whole)
