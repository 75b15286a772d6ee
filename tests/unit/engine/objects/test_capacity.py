"""What pods ask for, what nodes have left, and which pods find no room."""

from decimal import Decimal
from typing import Any

import pytest

from meshinstall.engine.objects.capacity import Need, Room, needs, room_on, unplaced
from meshinstall.model.quantity import quantity
from tests.cases import plans
from tests.unit.engine.installed import ISTIOD, PARTNERS, PUBLIC

MEBI = 1024 * 1024


def room(cpu: float, mebi: int) -> Room:
    return Room(Decimal(str(cpu)), Decimal(mebi * MEBI))


def asks(cpu: str, memory: str, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


def pod(phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": phase}}


NODE = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"}}}


@pytest.mark.parametrize(
    ("pods", "left"),
    [
        ([], room(2, 4096)),
        ([pod(containers=[asks("500m", "1Gi"), {"name": "asks for nothing"}])], room(1.5, 3072)),
        ([pod("Succeeded", containers=[asks("1", "1Gi")]), pod("Failed", containers=[asks("1", "1Gi")])], room(2, 4096)),
        ([pod("Pending", containers=[asks("1", "1Gi")])], room(1, 3072)),
        # An init container runs alone; a sidecar beside the rest.
        ([pod(containers=[asks("1", "1Gi")], initContainers=[asks("500m", "3Gi")])], room(1, 1024)),
        ([pod(containers=[asks("1", "1Gi")], initContainers=[asks("500m", "1Gi", restartPolicy="Always")])], room(0.5, 2048)),
        ([pod(containers=[asks("1", "1Gi")], overhead={"cpu": "250m", "memory": "120Mi"})], room(0.75, 2952)),
        ([pod(), {"metadata": {"name": "bare"}}], room(2, 4096)),
    ],
)
def test_a_node_has_left_what_its_pods_do_not_ask_for(pods: list[dict[str, Any]], left: Room) -> None:
    assert room_on(NODE, pods) == left


def test_a_node_that_says_nothing_has_nothing() -> None:
    assert room_on({"metadata": {"name": "n"}}, ()) == room(0, 0)


def with_values(release: str, values: dict[str, Any], **there: int) -> list[tuple[str, int, str]]:
    layer = {"kind": "FILE", "line": 1, "values": values}
    desired = plans.make({"desired": {"releases": {release: {"layers": {"x.yaml": layer}}}}}).desired
    found = needs(desired, {name.replace("__", "/").replace("_", "-"): count for name, count in there.items()})
    return [(str(need.release), need.pods, str(need.each)) for need in found]


GATEWAYS = [("istio-ingress/public", 1, "100m cpu, 128Mi memory"), ("istio-ingress/partners", 1, "100m cpu, 128Mi memory")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [("istio-system/istiod", 1, "500m cpu, 2048Mi memory")]),
        ({"autoscaleMin": 3}, [("istio-system/istiod", 3, "500m cpu, 2048Mi memory")]),
        ({"autoscaleMin": 3, "autoscaleEnabled": False, "replicaCount": 2}, [("istio-system/istiod", 2, "500m cpu, 2048Mi memory")]),
        ({"resources": {"requests": {"cpu": 1}}}, [("istio-system/istiod", 1, "1000m cpu, 2048Mi memory")]),
        ({"resources": {"requests": {"cpu": "2", "memory": "1G"}}}, [("istio-system/istiod", 1, "2000m cpu, 954Mi memory")]),
        ({"autoscaleMin": 0}, []),
    ],
)
def test_istiod_needs_what_its_values_say_or_the_chart(values: dict[str, Any], expected: list[Any]) -> None:
    assert [need for need in with_values("istio-system/istiod", values) if "istiod" in need[0]] == expected


def test_the_largest_pods_come_first_and_those_that_are_there_need_nothing() -> None:
    values = {"autoscaling": {"minReplicas": 2}, "resources": {"requests": {"memory": "3Gi"}}}
    found = with_values("istio-ingress/public", values, istio_system__istiod=1, istio_ingress__public=1)
    assert found == [("istio-ingress/public", 1, "100m cpu, 3072Mi memory"), GATEWAYS[1]]


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ([room(4, 8192)], {}),
        ([room(1, 2048), room(2, 4096)], {}),
        ([room(1, 2048), room(1, 2048)], {PUBLIC: 3}),
        ([room(1, 4096)], {PUBLIC: 3}),
        ([room(1, 3072)], {ISTIOD: 1}),
        ([room(0.4, 8192)], {ISTIOD: 2}),
        ([room(-1, -1)], {ISTIOD: 2, PUBLIC: 3}),
        ([], {ISTIOD: 2, PUBLIC: 3, PARTNERS: 1}),
    ],
)
def test_pods_that_find_no_room_are_counted(nodes: list[Room], left: dict[Any, int]) -> None:
    wanted = [Need(ISTIOD, 2, room(0.5, 2048)), Need(PUBLIC, 3, room(0.1, 128)), Need(PARTNERS, 1, room(0, 0))]
    rooms = {str(number): node for number, node in enumerate(nodes)}
    found = {need.release: need.pods for need in unplaced(wanted, rooms, {key: {} for key in rooms})}
    assert found == left


@pytest.mark.parametrize(
    ("tolerations", "tolerated"),
    [
        ((), False),
        (({"operator": "Exists"},), True),
        (({"key": "gpu", "operator": "Exists"},), True),
        (({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},), True),
        (({"key": "gpu", "operator": "Exists", "effect": "NoExecute"},), False),
        (({"key": "gpu", "value": "yes", "effect": "NoSchedule"},), True),
        (({"key": "gpu", "operator": "Equal", "value": "no"},), False),
        (({"key": "gpu"},), False),
        (({"value": "yes"},), False),
        (({"key": "gpu", "operator": "Lt", "value": "yes"},), False),
        (({"key": "other", "operator": "Exists"}, {"key": "gpu", "operator": "Equal", "value": "yes"}), True),
    ],
)
def test_a_toleration_opens_a_node_by_kubernetes_rule(tolerations: tuple[dict[str, str], ...], *, tolerated: bool) -> None:
    node = {"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}}
    need = Need(PUBLIC, 1, room(0.1, 128), tolerations)
    assert need.may_use(node) is tolerated
    assert unplaced([need], {"n": room(1, 1024)}, {"n": node}) == (() if tolerated else (need,))


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2", "2"), ("1.5", "1.5"), ("1k", "1000"), ("2Ki", "2048"), (3, "3"), (".5", "0.5"), ("0", "0"), ("-1", "-1")],
)
def test_quantities(text: Any, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "m", "1 Gi", "1e3x", None, [], "9" * 100, "1.2.3"])
def test_what_is_no_quantity(text: Any) -> None:
    assert quantity(text) is None
