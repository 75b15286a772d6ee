"""What istiod makes of policies is told to be pushed for these policies, and for others whatever differs is told."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from meshinstall.checks.authz.access import told_apart
from meshinstall.checks.authz.chains import Chain
from meshinstall.checks.authz.classes import TooManyError
from meshinstall.checks.authz.decide import Guard, guard, world
from meshinstall.checks.authz.pushed import Pushed, is_behind
from meshinstall.checks.policies.reading import Policies
from meshinstall.engine.mesh.rbac.chains import read_chains
from meshinstall.model.authz import Workload
from meshinstall.model.policy_object import PolicyObject
from testbed.api import Json
from testbed.referee.enforcer import TYPE, Filters, ask_builder
from tests.referees.authz_cases import TRUST_DOMAINS, Case, bare, cases

pytestmark = pytest.mark.tools

CASES, REQUESTS = 120, 6
LABELS = {"app": "web", "tier": "front"}
EDGE = {"gateway.networking.k8s.io/gateway-name": "edge", "gateway.istio.io/managed": "istio.io-gateway-controller"}
HALF = 0.5
TARGETS = (
    *({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name} for name in ("edge", "edge", "other")),
    {"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": "istio-waypoint"},
    {"group": "", "kind": "Service", "name": "edge"},
)
# As an istiod has it for a port of which it does not know the protocol.
MESH_HTTP, MESH_TCP = ["istio-http/1.0", "istio-http/1.1", "istio-h2"], ["istio-peer-exchange", "istio"]


@pytest.fixture(scope="module")
def builder(build_part: Callable[[str], Path]) -> Path:
    return build_part("authz") / "authz"


def attached(case: Case, number: int) -> Case:
    """The same policies at a gateway of the Gateway API: some for it, some for others, some with their selectors."""
    chance = random.Random(number)  # noqa: S311 - to be the same each time
    objects = []
    for one in case.objects:
        spec = {name: value for name, value in one["spec"].items() if name != "selector"}
        target = chance.choice(TARGETS)
        field, what = chance.choice([("targetRefs", [target]), ("targetRefs", [TARGETS[-1], target]), ("targetRef", target)])
        is_attached = one["kind"] != "PeerAuthentication" and chance.random() < HALF
        objects.append({**one, "spec": {**spec, field: what}} if is_attached else one)
    return replace(case, objects=tuple(objects), labels={**case.labels, **EDGE})


def drawn(number: int) -> list[Case]:
    found: list[Case] = []

    @seed(number)
    @settings(max_examples=CASES, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=cases('{"keys":[]}', REQUESTS))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def chains(filters: Filters, *, is_gateway: bool) -> list[Chain]:
    """A proxy with these filters, in the words of Envoy's own dump: a sidecar, or a gateway with a server of each kind."""
    router = {"typed_config": {"@type": f"{TYPE}filters.http.router.v3.Router"}}
    manager = {
        "typed_config": {
            "@type": f"{TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
            "normalize_path": True,
            "http_filters": [*snaked(list(filters.http)), router],
            "route_config": {"virtual_hosts": []},
        }
    }
    proxy = {"typed_config": {"@type": f"{TYPE}filters.network.tcp_proxy.v3.TcpProxy", "cluster": "inbound|80||"}}
    tcp = [*snaked(list(filters.tcp)), proxy]
    secured = {"name": "envoy.transport_sockets.tls", "typed_config": {"require_client_certificate": True}}
    if is_gateway:
        ends = {"name": "envoy.transport_sockets.tls", "typed_config": {}}
        servers: tuple[tuple[int, Json, Json, list[Json]], ...] = (
            (80, {}, {}, [manager]),
            (443, {"server_names": ["shop.example"]}, ends, [manager]),
            (8080, {"server_names": ["shop.example"]}, secured, [manager]),
            (9090, {"transport_protocol": "tls", "server_names": ["shop.example"]}, {}, tcp),
        )
        return [
            one
            for port, match, socket, some in servers
            for one in read_chains({"filter_chains": [{"filter_chain_match": match, "transport_socket": socket, "filters": some}]}, port)
        ]
    found: tuple[tuple[str, list[str], Json, list[Json]], ...] = (
        ("tls", MESH_HTTP, secured, [manager]),
        ("raw_buffer", ["http/1.1", "h2c"], {}, [manager]),
        ("tls", MESH_TCP, secured, tcp),
        ("raw_buffer", [], {}, tcp),
    )
    listener = [
        {"filter_chain_match": {"transport_protocol": one, "application_protocols": names}, "transport_socket": socket, "filters": some}
        for one, names, socket, some in found
    ]
    return list(read_chains({"filter_chains": listener}))


def snaked(found: Any) -> Any:
    """Names of fields as Envoy writes them; those of policies and of providers stay."""
    if isinstance(found, dict):
        return {
            name if re.search(r"[^A-Za-z]", name) else re.sub("([A-Z])", r"_\1", name).lower(): snaked(one) for name, one in found.items()
        }
    return [snaked(one) for one in found] if isinstance(found, list) else found


def guarded(case: Case, *, is_gateway: bool) -> Guard:
    """Policies for the workload, which is a gateway of the Gateway API where its labels say so."""
    objects = tuple(PolicyObject("", one, {}) for one in case.objects)
    return guard(world(Policies(objects, trust_domains=TRUST_DOMAINS)), Workload("shop", case.labels, is_gateway))


def question(case: Case) -> Json:
    domain, *aliases = TRUST_DOMAINS
    return {"trustDomain": domain, "trustDomainAliases": aliases, "namespace": "shop", "labels": case.labels, "objects": list(case.objects)}


@pytest.mark.parametrize(
    ("number", "is_gateway", "is_attached"),
    [(3000, False, False), (3001, True, False), (3002, False, False), (3003, True, False), (3004, True, True), (3005, True, True)],
)
def test_of_what_istiod_makes_of_the_same_policies_nothing_is_missing_and_of_others_all_that_differs_is_told(
    builder: Path,
    number: int,
    is_gateway: bool,  # noqa: FBT001 - a parameter of the test
    is_attached: bool,  # noqa: FBT001 - the same
) -> None:
    made = [attached(one, index) if is_attached else replace(one, labels=LABELS) for index, one in enumerate(drawn(number))]
    known = [
        (one, answer)
        for one, answer in zip(made, ask_builder(builder, list(map(question, made))), strict=True)
        if isinstance(answer, Filters)
    ]
    compared = differing = 0
    for (case, filters), (_, others) in pairwise(known):
        policies = guarded(case, is_gateway=is_gateway)
        same, other = (Pushed.of(policies.policies, chains(one, is_gateway=is_gateway), is_gateway=is_gateway) for one in (filters, others))
        try:
            assert told_apart([policies, same], is_behind) == (), case.objects
            told = told_apart([policies, other], is_behind)
        except TooManyError:
            continue
        compared += 1
        for request in (bare(one, policies, other) for one, _ in case.requests):
            if is_behind((policies.decide(request), other.decide(request))):
                differing += 1
                assert told, (request, case.objects)
    assert compared >= len(known) * 3 // 4
    assert differing >= len(known) // 10
