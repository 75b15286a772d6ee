"""What a Prometheus counted, in the shape of its own HTTP API, or why that is not known."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from meshinstall.engine.mesh.plaintext_history import ask_history
from meshinstall.errors import ClusterError
from meshinstall.model.mesh import History, Place
from tests.fakes import FakePods, World

pytestmark = pytest.mark.anyio

SOURCE = Place("monitoring", "prometheus-0")
WEB = Place("shop", "web")


def vector(*found: tuple[str, str, str, str]) -> bytes:
    """An instant vector of namespace, workload, security and value."""
    labels = ("destination_workload_namespace", "destination_workload", "connection_security_policy")
    result = [{"metric": dict(zip(labels, one, strict=False)), "value": [1795269600.1, one[3]]} for one in found]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


class Prometheus(FakePods):
    """Answers by counter; keeps the queries."""

    def __init__(self, requests: bytes, connections: bytes) -> None:
        super().__init__()
        self.bodies = {"istio_requests_total": requests, "istio_tcp_connections_opened_total": connections}
        self.queries: list[str] = []

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """As Prometheus does on its port, where it may be asked."""
        if self.refusal:
            raise self.refusal
        assert (namespace, pod, port) == (*SOURCE, 9090)
        (query,) = parse_qs(urlsplit(path).query)["query"]
        self.queries.append(query)
        return next(body for counter, body in self.bodies.items() if counter in query)


def cluster(requests: bytes = b"", connections: bytes = b"", *, prometheus: bool = True) -> World:
    """One Prometheus, perhaps."""
    there = World()
    there.pods = Prometheus(requests, connections)
    metadata = {"name": SOURCE.name, "namespace": SOURCE.namespace, "labels": {"app.kubernetes.io/name": "prometheus"}}
    if prometheus:
        there.kube.objects[f"/api/v1/namespaces/{SOURCE.namespace}/pods/{SOURCE.name}"] = {
            "metadata": metadata,
            "status": {"phase": "Running"},
        }
    return there


async def test_plaintext_of_requests_and_connections_is_added_up_by_workload() -> None:
    there = cluster(
        vector(("shop", "web", "none", "41.7"), ("shop", "web", "mutual_tls", "900"), ("shop", "api", "mutual_tls", "3")),
        vector(("shop", "web", "none", "2"), ("data", "db", "none", "0.3"), ("data", "cache", "none", "0")),
    )
    history = await ask_history(there.session(), 7)
    assert history == History(7, str(SOURCE), ((Place("data", "db"), 1), (WEB, 44)))
    assert isinstance(there.pods, Prometheus)
    assert there.pods.queries[0] == (
        "sum by (destination_workload_namespace, destination_workload, connection_security_policy)"
        ' (increase(istio_requests_total{reporter="destination"}[7d]))'
    )


async def test_only_the_chosen_namespaces_count() -> None:
    there = cluster(vector(("shop", "web", "none", "1"), ("data", "db", "none", "1")), vector())
    assert (await ask_history(there.session(), 1, {"shop"})).plaintext == ((WEB, 1),)


async def test_mutual_tls_alone_is_no_plaintext() -> None:
    history = await ask_history(cluster(vector(("shop", "web", "mutual_tls", "5")), vector()).session(), 7)
    assert history.plaintext == ()
    assert history.problem == ""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (vector(), "has no metrics of Istio's proxies"),
        (b"<html>", "Expecting value"),
        (b'{"status": "error", "error": "query timed out"}', "Prometheus answered: query timed out"),
        (b'{"status": "success", "data": {"result": {}}}', "list expected, found dict"),
        (vector(("shop", "web", "none", "many")), "could not convert string to float"),
        (vector(("shop", "web", "none", "NaN")), "no number"),
        (vector(("shop", "web", "none", "+Inf")), "no number"),
        (vector(("shop", "web", "none", "1e308")), "reports numbers that are too large to add up"),
        (vector(("shop", "web", "none", "1e308"), ("shop", "web", "unknown", "1e308")), "reports numbers that are too large to add up"),
        (b"[" * 200_000, "nested too deep"),
    ],
)
async def test_an_answer_that_says_nothing_is_not_taken_for_peace(body: bytes, problem: str) -> None:
    history = await ask_history(cluster(body, body).session(), 7)
    assert history.plaintext == ()
    assert problem in history.problem


async def test_no_prometheus_and_one_that_may_not_be_asked_are_said() -> None:
    assert (await ask_history(cluster(prometheus=False).session(), 7)).problem.startswith("no running pod has the label")
    there = cluster()
    there.pods.refusal = ClusterError("pods/portforward is forbidden")
    assert (await ask_history(there.session(), 7)).problem == f"{SOURCE}: pods/portforward is forbidden"


class Several(FakePods):
    """More than one, of which anybody may run some: each answers every counter alike."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        super().__init__()
        self.bodies = bodies

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """The first counter alone, so that nothing adds up."""
        assert (pod, port) == ("prometheus-0", 9090)
        if namespace not in self.bodies:
            raise ClusterError("pods/portforward is forbidden")
        return self.bodies[namespace] if "istio_requests_total" in path else vector()


async def asked(bodies: dict[str, bytes], *silent: str) -> History:
    there = World()
    there.pods = Several(bodies)
    for namespace in (*bodies, *silent):
        metadata = {"name": "prometheus-0", "namespace": namespace, "labels": {"app.kubernetes.io/name": "prometheus"}}
        path = f"/api/v1/namespaces/{namespace}/pods/prometheus-0"
        there.kube.objects[path] = {"metadata": metadata, "status": {"phase": "Running"}}
    return await ask_history(there.session(), 7)


TRUE = vector(("shop", "web", "none", "41"))


@pytest.mark.parametrize("lie", [vector(("shop", "web", "mutual_tls", "900")), vector(("shop", "web", "none", "-50")), vector()])
@pytest.mark.parametrize("where", ["aaa", "zzz"])
async def test_a_tenant_hides_nothing_with_a_prometheus_of_his_own(lie: bytes, where: str) -> None:
    history = await asked({where: lie, "monitoring": TRUE})
    assert history.plaintext == ((WEB, 41),)
    assert "monitoring/prometheus-0" in history.source


async def test_replicas_do_not_add_up() -> None:
    history = await asked({"monitoring": TRUE, "monitoring-2": TRUE})
    assert history == History(7, "monitoring/prometheus-0, monitoring-2/prometheus-0", ((WEB, 41),))


async def test_one_that_does_not_answer_may_be_the_real_one() -> None:
    history = await asked({"aaa": vector(("shop", "web", "mutual_tls", "900"))}, "monitoring")
    assert history.problem == "monitoring/prometheus-0: pods/portforward is forbidden"
    history = await asked({"aaa": TRUE}, "monitoring")
    assert history.plaintext == ((WEB, 41),)
    assert history.problem


async def test_a_crowd_does_not_push_the_real_one_out_unseen() -> None:
    history = await asked({**{f"aaa-{number}": vector(("shop", "web", "mutual_tls", "9")) for number in range(5)}, "monitoring": TRUE})
    assert history.problem == "6 pods are labelled as Prometheus, and 5 were asked"


async def test_who_called_with_mtls_is_asked_for_by_principal() -> None:
    labels = ("destination_workload_namespace", "destination_workload", "connection_security_policy", "source_principal", "response_code")
    rows = [
        ("shop", "web", "mutual_tls", "spiffe://a", "200"),
        ("shop", "web", "none", "unknown", "403"),
        ("shop", "api", "mutual_tls", "spiffe://b", "200"),
        ("shop", "web", "mutual_tls", "spiffe://eve", "403"),
    ]
    result = [{"metric": dict(zip(labels, one, strict=True)), "value": [1, "0" if one[1] == "api" else "2"]} for one in rows]
    there = cluster(json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode(), vector())
    history = await ask_history(there.session(), 7, identities=True)
    assert history.identities == {(WEB, "spiffe://a")}
    assert history.plaintext == ((WEB, 2),)
    assert isinstance(there.pods, Prometheus)
    assert "connection_security_policy, source_principal, response_code)" in there.pods.queries[0]


@pytest.mark.parametrize(("oldest", "problem"), [(vector(("", "", "", "4")), ""), (vector(), f"{SOURCE}: has no metrics of 7 days ago")])
async def test_one_that_does_not_remember_the_first_day_says_so(oldest: bytes, problem: str) -> None:
    there = cluster(vector(("shop", "web", "none", "2")), vector())
    assert isinstance(there.pods, Prometheus)
    there.pods.bodies = {"offset 7d": oldest, **there.pods.bodies}
    history = await ask_history(there.session(), 7, identities=True)
    assert history.problem.partition(": ask")[0] == problem
    assert history.plaintext == ((WEB, 2),)
