"""Who may call what by files and by a cluster: where they differ, and what is no workload whose policies count."""

from typing import Any

import pytest

from meshinstall.cli.output.who_text import who_text
from meshinstall.engine.report.who import Difference, who_may_call
from meshinstall.model.policy_object import PolicyObject
from tests.fakes import World
from tests.unit.engine.test_access_changes import ADMIN, SELECTOR, pod, put
from tests.unit.engine.test_layered import MESH, RULE, cluster, policy

pytestmark = pytest.mark.anyio


def file(manifest: dict[str, Any]) -> PolicyObject:
    return PolicyObject("policies/base/web.yaml", manifest, {("spec", "rules", "0"): (6, 7)})


async def differences(there: World, *files: Any) -> list[tuple[str, Difference]]:
    found = await who_may_call([file(dict(one)) for one in files], there.kube, MESH)
    return [(cell.of("source")[0].label, found.difference(cell)) for access in found.accesses for cell in access.cells]


async def test_what_the_cluster_alone_allows_is_not_in_git_and_what_it_lacks_is_not_applied() -> None:
    there = cluster()
    there.kube.put(policy(spec={**SELECTOR, "rules": [ADMIN]}))
    put(there, pod("web"))
    assert await differences(there, policy(spec={**SELECTOR, "rules": [RULE]})) == [
        ("shop/*", Difference.NOT_APPLIED),
        ("istio-ingress/gateway", Difference.NOT_IN_GIT),
    ]


async def test_what_both_say_does_not_differ_and_is_told_by_the_line_of_the_file() -> None:
    there = cluster()
    there.kube.put(policy(spec={"rules": [RULE]}))
    put(there, pod("web"))
    found = await who_may_call([file(dict(policy(spec={"rules": [RULE]})))], there.kube, MESH)
    assert "policies/base/web.yaml" in who_text(found)
    assert "not in Git" not in who_text(found)


async def test_a_pod_without_a_proxy_is_told_apart_and_nothing_is_claimed_of_it() -> None:
    there = cluster()
    there.kube.put(policy(spec={}))
    put(there, pod("job", proxied=False))
    found = await who_may_call(None, there.kube, MESH)
    assert "shop/job\n  it has no proxy: no policy counts, and whoever reaches it may call" in who_text(found)


async def test_a_name_that_is_longer_than_its_column_stays_whole() -> None:
    there = cluster()
    principal = "cluster.local/ns/istio-ingress/sa/istio-ingress-of-the-shop"
    there.kube.put(policy(spec={"rules": [{"from": [{"source": {"principals": [principal]}}]}]}))
    put(there, pod("web"))
    assert "  istio-ingress/istio-ingress-of-the-shop  any " in who_text(await who_may_call(None, there.kube, MESH))


async def test_strict_closes_no_gateway() -> None:
    """Its own servers say who must have a certificate: a client from outside has none, and is let in by a rule without a source."""
    there = cluster()
    there.kube.put(policy(spec={"rules": [{"to": [{"operation": {"methods": ["GET"]}}]}]}))
    gateway = pod("edge", istio="edge")
    gateway["spec"]["containers"] = [{"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "router"]}]
    put(there, pod("web"), gateway)
    mesh_wide = {"metadata": {"name": "default", "namespace": "istio-system"}, "spec": {"mtls": {"mode": "STRICT"}}}
    there.kube.put({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", **mesh_wide})
    found = await who_may_call(None, there.kube, MESH)
    who = {one.callee.name: {part.label for cell in one.cells for part in cell.of("source")} for one in found.accesses}
    assert who == {"shop/edge": set(), "shop/web": {"*/*"}}


async def test_two_revisions_of_a_deployment_with_other_labels_are_two_workloads() -> None:
    there = cluster()
    second = pod("web", tier="new")
    second["metadata"]["name"] = "web-2"
    put(there, pod("web"), second)
    found = await who_may_call(None, there.kube, MESH)
    assert [one.callee.name for one in found.accesses] == ["shop/web (app=web)", "shop/web (app=web,tier=new)"]
