"""Whom STRICT for the whole mesh would refuse is told before it comes, and what is not known beside it."""

from dataclasses import replace
from typing import Any

from meshinstall.checks.mtls.going_strict import is_strict_already, refused_by_strict
from meshinstall.model.callers import Caller, Callers
from meshinstall.model.mesh import ApiServerClient, History, MeshFacts, Place
from tests.cases import verdicts

MADE = "2026-01-01T00:00:00Z"
OPEN = {"policies": {"istio-system/default": {"mode": "PERMISSIVE"}}}


def mesh(**differs: Any) -> MeshFacts:
    return verdicts.make({"facts": {**OPEN, **differs}}).facts


def test_a_mesh_in_which_nobody_was_seen_to_need_plaintext_says_only_that() -> None:
    counted = Callers(None, 3)
    assert refused_by_strict(replace(mesh(), callers=counted)) == (
        "since the proxies started, no workload was seen to receive plaintext, as counted by 3 proxies",
    )


def test_callers_that_proxies_counted_and_a_prometheus_are_named() -> None:
    callers = Callers(None, 3, (Caller("shop/Deployment web", "legacy/cron", 7),))
    history = History(7, "monitoring/prometheus-0", ((Place("shop", "web"), 12),))
    assert refused_by_strict(replace(mesh(), callers=callers, history=history)) == (
        "since the proxies started, 1 workload received plaintext, as counted by 3 proxies",
        "shop/Deployment web receives plaintext now (requests and connections: legacy/cron (about 7))",
        "in the last 7 days 1 workload received plaintext, as counted by monitoring/prometheus-0",
        "received plaintext then: shop/web (about 12)",
    )


def test_probes_of_the_kubelet_and_what_the_api_server_calls_are_named() -> None:
    client = ApiServerClient("ValidatingWebhookConfiguration", "policy", Place("shop", "web"), 80, fails=True)
    facts = replace(mesh(pods={"shop/web-1": {"kubelet": [8080]}}), api_clients=(client,))
    called, probed = refused_by_strict(facts)
    assert called.startswith("ValidatingWebhookConfiguration policy (failurePolicy Fail) makes the API server call port 8080 of shop/")
    assert probed.startswith("probes of the kubelet would fail")


def test_what_could_not_be_seen_is_told() -> None:
    told = refused_by_strict(replace(mesh(), gaps=("Services could not be listed: forbidden",)))
    assert told == ("could not be read: Services could not be listed: forbidden",)


def test_proxies_of_which_none_counts_say_nothing_of_who_calls() -> None:
    (told,) = refused_by_strict(replace(mesh(), callers=Callers(None, 2, uncounted=("shop/Deployment web",), silent=2)))
    assert told.startswith("cannot tell who sends plaintext: none of the proxies of shop/Deployment web counts it")


def test_what_a_tenant_wrote_stays_one_line() -> None:
    callers = Callers(None, 1, (Caller("shop/Deployment web\n::error::x", "legacy/\x1b[2Jcron", 7),))
    told = refused_by_strict(replace(mesh(), callers=callers))
    assert all(one.isprintable() and "::error" not in one for one in told)


def test_ever_so_many_callers_are_some_lines() -> None:
    callers = Callers(None, 1, tuple(Caller(f"shop/Deployment web-{number}", "legacy/cron", 7) for number in range(3000)))
    told = refused_by_strict(replace(mesh(), callers=callers))
    assert len(told) == 2
    assert max(map(len, told)) < 1000


def test_nothing_is_refused_at_ports_that_are_strict_already() -> None:
    client = ApiServerClient("ValidatingWebhookConfiguration", "policy", Place("shop", "web"), 8080, fails=True)
    assert refused_by_strict(replace(verdicts.make({}).facts, api_clients=(client,))) == ()


def test_a_mesh_is_strict_already_only_where_every_workload_is_by_its_own_policy_and_all_could_be_read() -> None:
    strict = mesh(policies={**OPEN["policies"], "shop/default": {"mode": "STRICT", "created": MADE}})
    assert is_strict_already(strict, ["shop"])
    assert not is_strict_already(mesh(), ["shop"])
    assert not is_strict_already(strict, ["shop", "elsewhere"])
    assert not is_strict_already(replace(strict, gaps=("Services could not be listed: forbidden",)), ["shop"])
    open_port = {"mode": "STRICT", "created": MADE, "selector": {"app": "web"}, "ports": {8080: "PERMISSIVE"}}
    assert not is_strict_already(mesh(policies={"shop/default": {"mode": "STRICT", "created": MADE}, "shop/web": open_port}), ["shop"])
