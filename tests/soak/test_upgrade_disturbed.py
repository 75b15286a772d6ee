"""A canary between two real Istios, and what somebody else does in the middle of it."""

from meshinstall.model.upgrade import StageName
from testbed import pins
from tests.soak.upgrade_mesh import Meshes


def test_down_in_the_middle_removes_both_istiods(meshes: Meshes) -> None:
    """Somebody runs ``down`` in the middle of an upgrade: all of it goes, the second istiod and the tags too."""
    istios = meshes.before(StageName.RETIRE)
    assert istios.istiods() == {"default": pins.PREVIOUS, "1-31": pins.ISTIO}
    done = istios.program.run("down", "--yes")
    assert done.status == 0, done
    assert istios.istiods() == {}
    webhooks = istios.shell.ok("kubectl", "get", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "-o", "name")
    assert "istio" not in webhooks
