"""Who sends plaintext now: only what the proxies that are called count themselves."""

import pytest

from meshinstall.engine.mesh.callers import ask_callers
from meshinstall.errors import ClusterError
from meshinstall.model.callers import Caller
from meshinstall.model.mesh import Dataplane, Place, Pod
from tests.fakes import FakePods

pytestmark = pytest.mark.anyio

WEB = Pod(Place("shop", "web-1"), "Deployment web", Dataplane.SIDECAR)
GATE = Pod(Place("edge", "gate-1"), "Deployment gate", Dataplane.GATEWAY)


def line(count: object, security: str, source: str = "unknown", namespace: str = "unknown", reporter: str = "destination") -> str:
    labels = f'reporter="{reporter}",source_workload="{source}",source_workload_namespace="{namespace}"'
    odd = 'odd="a\\"},b"'
    return f'istio_requests_total{{{labels},connection_security_policy="{security}",{odd}}} {count}'


class Counting(FakePods):
    """Proxies that say one thing after the other."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.said = list(answers)

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """The next answer."""
        assert (namespace, pod, port) == (*WEB.place, 15000), path
        if not self.said:
            raise ClusterError("gone")
        return self.said.pop(0).encode()


async def test_requests_without_mtls_are_counted_by_their_source() -> None:
    said = "\n".join(
        [
            "# TYPE istio_requests_total counter",
            line(7, "none"),
            line(2, "none", "client", "crm"),
            line(3, "none", "client", "crm"),
            line(90, "mutual_tls", "api", "shop"),
            line(5, "unknown", "x", "y", reporter="source"),
            'other{reporter="destination"} 3',
        ]
    )
    callers = await ask_callers([WEB, GATE], Counting(said), None)
    assert callers.found == (Caller("shop/Deployment web", "crm/client", 5), Caller("shop/Deployment web", "unknown", 7))
    assert (callers.asked, callers.uncounted, callers.seconds) == (1, (), None)


async def test_with_a_watch_only_what_came_meanwhile_counts() -> None:
    before = "\n".join([line(7, "none"), line(2, "none", "client", "crm"), line(9, "none", "again", "crm")])
    after = "\n".join([line(7, "none"), line(6, "none", "client", "crm"), line(4, "none", "again", "crm")])
    callers = await ask_callers([WEB], Counting(before, after), 0.001)
    # The third was restarted: it counts from nothing.
    assert callers.found == (Caller("shop/Deployment web", "crm/again", 4), Caller("shop/Deployment web", "crm/client", 4))


@pytest.mark.parametrize("said", ["", "<html>", line("NaN", "none"), line("-1", "none"), line("x", "none"), "\xff"], ids=str)
async def test_a_proxy_that_counts_nothing_is_named(said: str) -> None:
    callers = await ask_callers([WEB], Counting(said), None)
    assert callers.found == ()
    assert callers.uncounted == ("shop/Deployment web",)


async def test_a_proxy_that_went_away_is_named() -> None:
    assert (await ask_callers([WEB], Counting(line(1, "none")), 0.001)).uncounted == ("shop/Deployment web",)
    assert (await ask_callers([WEB], Counting(), None)).uncounted == ("shop/Deployment web",)


async def test_a_proxy_that_counts_mtls_alone_is_counted() -> None:
    callers = await ask_callers([WEB], Counting(line(90, "mutual_tls", "api", "shop")), None)
    assert (callers.found, callers.uncounted) == ((), ())


async def test_who_came_with_mtls_is_known_by_the_principal_of_its_certificate() -> None:
    principal = "spiffe://cluster.local/ns/shop/sa/api"
    known = line(90, "mutual_tls", "api", "shop").replace("{", f'{{source_principal="{principal}",', 1)
    refused = known.replace("{", '{response_code="403",', 1).replace("sa/api", "sa/eve")
    callers = await ask_callers([WEB], Counting("\n".join([known, refused, line(3, "mutual_tls"), line(2, "none")])), None)
    assert callers.identities == (Caller("shop/Deployment web", principal, 90), Caller("shop/Deployment web", "unknown", 3))
    assert callers.found == (Caller("shop/Deployment web", "unknown", 2),)
