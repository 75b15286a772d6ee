"""The mesh from which soaks of upgrades start, how they begin one, and what must be true at its end."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from meshinstall.model.upgrade import StageName
from testbed import pins
from tests.cluster.dirty_mesh import GATEWAYS, INJECTED
from tests.cluster.two_istios import TwoIstios

ALLOWED = ("--allow", "missing-fix")
# What an upgrade to 1.31.0 is called with.
UPGRADE = ("--to", pins.ISTIO, *ALLOWED)
# Exit statuses: something is left to do, and a command that has nothing to do its work on.
HELD, NOTHING_TO_GO_BACK_TO = 3, 2
# Those that a mesh without node agents has, in their order.
STAGES = tuple(
    stage.value
    for stage in (
        StageName.CRDS,
        StageName.CONTROL_PLANE,
        StageName.SCOUT,
        StageName.CANARY,
        StageName.GATEWAYS,
        StageName.TAGS,
        StageName.WORKLOADS,
        StageName.DEFAULT,
        StageName.RETIRE,
    )
)


class Meshes:
    """One cluster at a time with the mesh of 1.30.4 and charts of both; another one where a test left the mesh elsewhere."""

    def __init__(self, start: Callable[[], AbstractContextManager[TwoIstios]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self._found: TwoIstios | None = None

    def old(self) -> TwoIstios:
        """The mesh as it is before the upgrade."""
        wanted = {(where, "default", pins.PREVIOUS) for where in (*INJECTED, *GATEWAYS)}
        found = self._found
        if found is None or found.istiods() != {"default": pins.PREVIOUS} or found.proxies(*INJECTED, *GATEWAYS) != wanted:
            found = self._another()
        return found

    def before(self, stage: str) -> TwoIstios:
        """The mesh in an upgrade of which all stages before this one are done, and no later one."""
        number, found = STAGES.index(stage), self._found
        left = [one["name"] for one in found.plan(pins.ISTIO)["stages"]] if found else []
        if found is None or not left or STAGES.index(left[0]) > number:
            found = self._another()
        if number:
            go_until(found, STAGES[number - 1])
        return found

    def _another(self) -> TwoIstios:
        self.end()
        self._found = self._stack.enter_context(self._start())
        return self._found

    def end(self) -> None:
        """Take the cluster down."""
        self._found = None
        self._stack.close()


def proxies(istios: TwoIstios) -> set[tuple[str, str]]:
    """Revisions and versions of the proxies of applications and gateways."""
    return {(revision, version) for _, revision, version in istios.proxies(*INJECTED, *GATEWAYS)}


def go_until(istios: TwoIstios, stage: str) -> None:
    """Run the stages up to one that is not the last."""
    done = istios.carry_out("upgrade", "--until", stage, *UPGRADE)
    assert done.status == HELD, done
    # It names the next stage, where it waits.
    assert f"as asked: --until {stage}" in done.out


def assert_finishes(istios: TwoIstios) -> None:
    """The same command leads to the end: one istiod, all proxies of it, and a plan with nothing to do."""
    last = istios.carry_out("upgrade", *UPGRADE)
    assert last.status == 0, last
    assert istios.istiods() == {"1-31": pins.ISTIO}
    assert proxies(istios) == {("1-31", pins.ISTIO)}
    assert istios.plan(pins.ISTIO)["stages"] == []
