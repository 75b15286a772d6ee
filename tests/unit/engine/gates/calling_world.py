"""A cluster with a workload that can be called, an injector, and callers that it can start."""

import json
from collections.abc import Callable
from typing import Any

from meshinstall.engine.gates.authz import Called, Tokens, call_rows
from meshinstall.errors import ClusterError
from meshinstall.model.answering import FROM_BEHIND
from meshinstall.model.authz import Expectation, Http, Outcome, Request, Workload
from meshinstall.model.release import Manifest
from meshinstall.model.wire import PROBE_PREFIX, Call, End, Reply
from meshinstall.ports import Stream
from tests.fakes import FakeWire
from tests.unit.engine.mesh.kube_worlds import pod as make_pod
from tests.unit.engine.mesh.test_answering import dumped, listener
from tests.unit.engine.probe.prober_world import Cluster, Proxies, wire

CART = "cluster.local/ns/shop/sa/cart"
READY = {"phase": "Running", "podIP": "10.0.0.8", "conditions": [{"type": "Ready", "status": "True"}]}
GOOD = Reply(End.HEAD, "HTTP 200", 200, {FROM_BEHIND: "1"}, "hello", f"spiffe://{CART}")
DENIED = Reply(End.HEAD, "HTTP 403", 403, {}, "RBAC: access denied", f"spiffe://{CART}")
TOKENS = Tokens({})


class Callers(Proxies):
    """Callers that are ready at once, wherever they are; ``talks`` are the pods that were spoken through."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = 0.0
        self.dump = dumped(listener())
        self.silent = False
        self.talks: list[tuple[str, str]] = []

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """Its certificates, or what a workload's proxy says of its listeners."""
        if path.startswith("/config_dump"):
            if self.silent:
                raise ClusterError(f"no port-forward to pod {namespace}/{pod}")
            return self.dump
        return await super().get(PROBE_PREFIX, pod, port, path)

    async def talk(self, namespace: str, pod: str, port: int, talk: Callable[[Stream], Any]) -> Any:
        """Talk at once."""
        assert port
        self.talks.append((namespace, pod))
        return talk(None)  # type: ignore[arg-type]


class Shop(Cluster):
    """The workload web of the namespace shop; ``calls`` are those that came, and ``replies`` what is said to each."""

    def __init__(self) -> None:
        super().__init__()
        self.callers = self.proxies = self.pods = Callers()
        self.calls: list[Call] = []
        self.replies: Callable[[Call], Reply] = lambda _: GOOD
        dialled = wire()

        def answer(call: Call) -> Reply:
            self.calls.append(call)
            return self.replies(call)

        self.wire = FakeWire(dialled.dial, answer)
        self.put_web("web-1")

    def put_web(self, name: str, labels: dict[str, str] | None = None, **more: Any) -> None:
        """A pod of the workload."""
        one = {"status": READY, "labels": labels or {"app": "web"}, **more}
        pod = {"apiVersion": "v1", "kind": "Pod", **make_pod(name=name, **one)}
        self.kube.objects[f"/api/v1/namespaces/shop/pods/{name}"] = pod

    async def call(self, *rows: Expectation, tokens: Tokens = TOKENS) -> Called:
        """Try a table."""
        return await call_rows(self.session("ann@laptop/7-1"), rows, tokens, self.said.append)

    def left(self) -> list[str]:
        """What is there that was made to call."""
        return [path for path in self.nodes.objects if PROBE_PREFIX in path]

    def made(self, kind: str, namespace: str = "shop") -> list[Manifest]:
        """What was created of a kind in a namespace."""
        found = {path: one for path, one in self.nodes.objects.items() if one["kind"] == kind and f"/namespaces/{namespace}/" in path}
        return [json.loads(json.dumps(one)) for path, one in found.items() if PROBE_PREFIX in path]


def row(expected: Outcome = Outcome.ALLOW, *, principal: str = CART, http: Http | None = None, **labels: str) -> Expectation:
    """A request to the workload."""
    request = Request(8080, principal, http or Http(path="/api"))
    return Expectation("a row", "table.yaml:2", Workload("shop", labels or {"app": "web"}), request, expected)
