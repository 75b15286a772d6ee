"""Which connections of a pod's own applications enter its proxy."""

from dataclasses import replace

import pytest

from meshinstall.checks.mtls.capture import may_pass_by, passes_by
from meshinstall.model.mesh import AsProxy, Dataplane, Outbound, Place, Pod, PortRange

POD = Pod(Place("shop", "web-0"), "Deployment web", Dataplane.SIDECAR)
RANGES = "includeOutboundIPRanges, includeOutboundPorts"


@pytest.mark.parametrize(
    ("rules", "address", "port", "reason"),
    [
        (Outbound(), "10.0.0.1", 80, ""),
        (Outbound(), "fd00::1", 80, ""),
        (Outbound(captured=False), "10.0.0.1", 80, "nothing redirects"),
        (Outbound(not_ports=(PortRange(80, 80),)), "10.0.0.1", 80, "port 80 bypass its proxy (excludeOutboundPorts)"),
        (Outbound(not_ports=(PortRange(80, 90),)), "10.0.0.1", 91, ""),
        (Outbound(not_networks=("10.0.0.0/8",)), "10.0.0.1", 80, "to 10.0.0.1 bypass its proxy (excludeOutboundIPRanges)"),
        (Outbound(not_networks=("10.0.0.0/8",)), "11.0.0.1", 80, ""),
        (Outbound(networks=("10.0.0.0/8",)), "10.0.0.1", 80, ""),
        (Outbound(networks=("10.0.0.0/8",)), "11.0.0.1", 80, RANGES),
        (Outbound(networks=("10.0.0.0/8",)), "fd00::1", 80, RANGES),
        (Outbound(networks=("fd00::/8",)), "fd00::1", 80, ""),
        (Outbound(networks=("10.0.0.0/8",), ports=(PortRange(80, 80),)), "11.0.0.1", 80, ""),
        (Outbound(networks=(), ports=(PortRange(80, 80),)), "11.0.0.1", 81, RANGES),
        (Outbound(networks=()), "11.0.0.1", 80, "all its connections"),
        # What is left out counts more than what is named, as a port does against a network.
        (Outbound(ports=(PortRange(80, 80),), not_networks=("10.0.0.0/8",)), "10.0.0.1", 80, "excludeOutboundIPRanges"),
        # Ports do not count for a virtual machine.
        (Outbound(networks=(), ports=(PortRange(80, 80),), virtual=True), "10.0.0.1", 80, RANGES),
        # Of a name only the port counts.
        (Outbound(networks=(), not_networks=("10.0.0.0/8",)), "web.shop", 80, ""),
        (Outbound(as_proxy=(AsProxy("app", "UID 1337"),)), "10.0.0.1", 80, "its container app (UID 1337) has a user or group"),
        (
            Outbound(as_proxy=(AsProxy("app", "UID 1337"), AsProxy("two", "GID 1337"))),
            "10.0.0.1",
            80,
            "its containers app (UID 1337), two (GID 1337) have a user or group",
        ),
    ],
)
def test_connections_that_do_not_enter_the_proxy(rules: Outbound, address: str, port: int, reason: str) -> None:
    found = passes_by(replace(POD, outbound=rules), address, port)
    assert reason in found
    assert bool(found) is bool(reason)


def test_a_pod_on_the_nodes_network() -> None:
    assert "hostNetwork" in passes_by(replace(POD, host_network=True), "10.0.0.1", 80)


@pytest.mark.parametrize(("address", "bypassed"), [("10.0.0.1", False), ("fd00::1", True)])
def test_the_second_ip_family_is_not_redirected(address: str, bypassed: bool) -> None:  # noqa: FBT001
    assert ("over IPv6 bypass" in passes_by(replace(POD, one_family=True), address, 80)) is bypassed


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (Outbound(), ""),
        (Outbound(interfaces=("net1",)), "leave by its interface net1 bypass its proxy"),
        (Outbound(unsure=("app",)), "the group of its container app is unknown"),
    ],
)
def test_what_the_spec_does_not_show(rules: Outbound, reason: str) -> None:
    assert reason in may_pass_by(replace(POD, outbound=rules))
    assert bool(may_pass_by(replace(POD, outbound=rules))) is bool(reason)
