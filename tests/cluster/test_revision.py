"""An istiod with a revision: its webhooks select by that label, and so do we."""

import pytest

from testbed.cluster import Cluster
from tests.cluster.meshinstall_run import meshinstall

pytestmark = pytest.mark.cluster


def test_a_control_plane_with_a_revision_is_installed_proven_and_left_alone(own_module_cluster: Cluster) -> None:
    program = meshinstall(own_module_cluster).having("--profile", "minimal", "--set-string", "istiod.revision=canary")
    done = program.up()
    assert done.out.rstrip().rpartition("\n")[2].startswith("PASS: mTLS on "), done
    assert program.pending() == {}
