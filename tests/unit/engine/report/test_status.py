"""Judging a mesh from what istiod, Helm and the cluster say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.gates.proxies import count_proxies
from meshinstall.engine.objects.readiness import Trouble
from meshinstall.engine.report.status import release_health, workload
from meshinstall.model.desired import Release
from meshinstall.model.facts import ObjectKey
from meshinstall.model.release import ChartRef, Component, ReleaseKey, ReleaseRecord, ReleaseStatus
from meshinstall.model.stack import ValuesStack
from meshinstall.model.status import Health, Workload, worst

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
CDS, LDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster", "type.googleapis.com/envoy.config.listener.v3.Listener"
ISTIOD = Release(ReleaseKey("istio-system", "istiod"), Component.ISTIOD, ChartRef("istiod", "1.31.0", "oci://charts"), ValuesStack())
DEPLOYMENT = ObjectKey("apps/v1", "Deployment", "istio-system", "istiod")
SERVICE = ObjectKey("v1", "Service", "istio-ingress", "istio-ingress")


def proxy(name: str = "web.shop", seconds: float = 0, error: str = "", **acked: str) -> dict[str, Any]:
    """A proxy that was sent version b of both types, ``seconds`` ago."""
    sent = (NOW - timedelta(seconds=seconds)).isoformat()
    kinds = {CDS: acked.get("clusters", "b"), LDS: acked.get("listeners", "b")}
    return {
        "proxy": name,
        "resources": {kind: {"sent": "b", "acked": at, "sentTime": sent, "lastError": error} for kind, at in kinds.items()},
    }


def deployment(wanted: int = 2, ready: int = 2, **more: Any) -> dict[str, Any]:
    status = {"observedGeneration": 1, "replicas": wanted, "updatedReplicas": wanted, "availableReplicas": ready, **more}
    return {"metadata": {"generation": 1}, "spec": {"replicas": wanted}, "status": status}


def record(status: ReleaseStatus = ReleaseStatus.DEPLOYED) -> ReleaseRecord:
    return ReleaseRecord(ISTIOD.key, 1, status, "istiod", "1.31.0", "1.31.0", {}, "", "what helm said", "2026-11-21T08:00:00Z")


def test_a_proxy_that_acknowledged_all_it_was_sent_is_in_sync() -> None:
    found = count_proxies([proxy("a.shop"), proxy("b.shop")], NOW)
    assert found.connected == 2
    assert found.in_sync == 2
    assert found.stale == ()


def of(version: str, name: str = "web.shop") -> dict[str, Any]:
    return {**proxy(name), "istio_version": version}


def test_proxies_older_than_istiod_are_counted_by_namespace_with_the_command() -> None:
    found = count_proxies([of("1.30.4", "a.shop"), of("1.30.4", "b.shop"), of("1.29.0", "c.web"), of("1.31.0", "d.shop")], NOW)
    assert found.older("1.31.0") == (
        "3 proxies are older than istiod 1.31.0, by namespace: shop (2 of 1.30.4), web (1 of 1.29.0);"
        " restart their pods: kubectl rollout restart deployment -n NAMESPACE"
    )
    assert found.older("1.29.0") == ""


@pytest.mark.parametrize("version", ["", "unknown", "1.32.0", "1.31.0", "1.31.0-distroless"])
def test_a_proxy_of_no_version_or_a_newer_one_is_not_older(version: str) -> None:
    assert count_proxies([of(version)], NOW).older("1.31.0") == ""


def test_of_an_istiod_of_no_version_no_proxy_is_older() -> None:
    assert count_proxies([of("1.30.0")], NOW).older("latest") == ""


def test_a_proxy_that_was_just_sent_something_is_neither_in_sync_nor_stale() -> None:
    found = count_proxies([proxy(clusters="a", seconds=2)], NOW)
    assert found.connected == 1
    assert found.in_sync == 0
    assert found.stale == ()


def test_a_proxy_that_does_not_acknowledge_is_stale_and_says_what() -> None:
    (stale,) = count_proxies([proxy(listeners="a", seconds=31)], NOW).stale
    assert stale.name == "web.shop"
    assert stale.reason == "it has not acknowledged Listener for more than 30 s"


def test_a_proxy_that_rejects_is_stale_at_once() -> None:
    (stale,) = count_proxies([proxy(listeners="a", error="address in use")], NOW).stale
    assert stale.reason == "it rejects Listener: address in use"


def test_older_istiods_send_pairs_of_fields() -> None:
    in_sync = {"proxy": "a.shop", "cluster_sent": "b", "cluster_acked": "b"}
    behind = {"proxy": "b.shop", "cluster_sent": "b", "listener_sent": "b", "listener_acked": "b"}
    found = count_proxies([in_sync, behind], NOW)
    assert found.in_sync == 1
    assert [stale.reason for stale in found.stale] == ["it has not acknowledged cluster"]


@given(st.permutations([proxy(), proxy(clusters="a", seconds=2), proxy(clusters="a", seconds=60)]))
def test_a_proxy_that_two_istiods_know_is_counted_once_by_its_better_word(records: list[dict[str, Any]]) -> None:
    found = count_proxies(records, NOW)
    assert found.connected == 1
    assert found.in_sync == 1
    assert found.stale == ()


def test_a_deployment_with_all_its_pods_is_current() -> None:
    assert workload(DEPLOYMENT, deployment(), ()) == Workload(DEPLOYMENT, Health.CURRENT, "", 2, 2)


def test_a_deployment_that_waits_is_in_progress_and_says_why() -> None:
    found = workload(DEPLOYMENT, deployment(ready=1), [Trouble("pod istiod-1 starts")])
    assert found.health == Health.IN_PROGRESS
    assert found.detail == "pod istiod-1 starts"
    assert found.ready == 1
    assert found.wanted == 2


@pytest.mark.parametrize(
    ("more", "troubles"),
    [
        ({}, [Trouble("ImagePullBackOff", hopeless=True)]),
        ({"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}, []),
    ],
    ids=["no image", "deadline passed"],
)
def test_a_deployment_that_waiting_will_not_help_has_failed(more: dict[str, Any], troubles: list[Trouble]) -> None:
    assert workload(DEPLOYMENT, deployment(ready=1, **more), troubles).health is Health.FAILED


def test_what_is_scaled_to_nothing_is_never_current_and_says_by_whom() -> None:
    live = deployment(0, 0)
    live["metadata"]["managedFields"] = [
        {"manager": "kubectl", "operation": "Update", "subresource": "scale", "time": "T", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ]
    found = workload(DEPLOYMENT, live, ())
    assert found.health is Health.FAILED
    assert found.detail == "is scaled to 0 pods by kubectl (Update, T); meshinstall up puts it back"
    assert workload(DEPLOYMENT, live, (), may_be_empty=True) == Workload(DEPLOYMENT, Health.CURRENT)


def test_a_daemon_set_that_no_node_takes_is_not_current() -> None:
    live = {"metadata": {"generation": 1}, "spec": {}, "status": {"observedGeneration": 1, "desiredNumberScheduled": 0}}
    found = workload(DEPLOYMENT._replace(kind="DaemonSet"), live, ())
    assert found.health is Health.IN_PROGRESS
    assert found.detail.startswith("no node takes it")


def test_an_object_that_somebody_deleted_is_not_found() -> None:
    assert workload(DEPLOYMENT, None, ()).health is Health.NOT_FOUND


def test_a_load_balancer_without_an_address_is_in_progress() -> None:
    live: dict[str, Any] = {"metadata": {}, "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}, "status": {}}
    found = workload(SERVICE, live, ())
    assert found.health == Health.IN_PROGRESS
    assert found.addresses == ()
    live["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example.com"}]}}
    found = workload(SERVICE, live, ())
    assert found.health == Health.CURRENT
    assert found.addresses == ("192.0.2.1", "lb.example.com")


def test_a_release_is_as_well_as_the_worst_of_what_it_brought() -> None:
    workloads = (Workload(DEPLOYMENT, Health.CURRENT), Workload(SERVICE, Health.IN_PROGRESS, "waits"))
    assert release_health(ISTIOD, record(), workloads).health is Health.IN_PROGRESS
    assert release_health(ISTIOD, record(ReleaseStatus.FAILED), workloads).health is Health.FAILED


@pytest.mark.parametrize(
    ("status", "health"),
    [
        (None, Health.NOT_FOUND),
        (ReleaseStatus.UNINSTALLED, Health.NOT_FOUND),
        (ReleaseStatus.PENDING_UPGRADE, Health.IN_PROGRESS),
        (ReleaseStatus.FAILED, Health.FAILED),
        (ReleaseStatus.DEPLOYED, Health.CURRENT),
    ],
)
def test_helms_record_of_a_release_counts(status: ReleaseStatus | None, health: Health) -> None:
    found = release_health(ISTIOD, record(status) if status else None, ())
    assert found.health == health
    assert bool(found.detail) == (health is not Health.CURRENT)


def test_a_release_of_another_environment_is_not_current() -> None:
    staging = replace(record(), description="meshinstall: environment staging, profile default")
    assert release_health(ISTIOD, staging, (), "staging").health is Health.CURRENT
    found = release_health(ISTIOD, staging, (), "prod")
    assert found.health is Health.FAILED
    assert found.detail == "it is environment staging's, not prod's"


@given(st.lists(st.sampled_from(Health)))
def test_the_worst_health_is_the_first_of_kstatus_words_that_occurs(healths: list[Health]) -> None:
    order = list(Health)
    assert order.index(worst(iter(healths))) == min(map(order.index, healths), default=len(order) - 1)
