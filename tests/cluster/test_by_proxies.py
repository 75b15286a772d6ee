"""A table that is decided by what real proxies have: as their policies say, and otherwise while istiod has not pushed these."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell, namespace, web
from tests.cluster.meshinstall_run import Done, Program, meshinstall

pytestmark = pytest.mark.cluster

_CASE = """  - name: {name}
    from: {{serviceAccount: {account}}}
    to: {{namespace: shop, labels: {{app: web}}, port: 8080}}
    request: {{method: {method}, path: /api/items}}
    expect: {expect}
"""
_TABLE = "cases:\n" + "".join(
    _CASE.format(name=name, account=account, method=method, expect=expect)
    for name, account, method, expect in (
        ("the cart reads", "shop/cart", "GET", "allow"),
        ("the cart does not write", "shop/cart", "POST", "deny"),
        ("nobody of the bank reads", "bank/till", "GET", "deny"),
    )
)


def policy(name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}


READING = policy(
    "web",
    selector={"matchLabels": {"app": "web"}},
    rules=[{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/cart"]}}], "to": [{"operation": {"methods": ["GET"]}}]}],
)
CLOSED = policy("closed", action="DENY", rules=[{"from": [{"source": {"namespaces": ["shop"]}}]}])


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, shell: Shell) -> Program:
    """Meshinstall with a minimal mesh, in which two pods are one workload."""
    found = meshinstall(own_module_cluster).having("--profile", "minimal")
    found.up("--no-verify")
    pods = []
    for name in ("web-1", "web-2"):
        pod, service = deepcopy(web("shop", name))
        pod["metadata"]["labels"] = {"app": "web"}
        pods.append(pod)
    service["metadata"] = {"name": "web", "namespace": "shop"}
    service["spec"]["selector"] = {"app": "web"}
    shell.apply(namespace("shop", **{"istio-injection": "enabled"}))
    shell.apply(service, READING, *pods)
    shell.ok("kubectl", "wait", "-n", "shop", "pod/web-1", "pod/web-2", "--for=condition=Ready", "--timeout=90s")
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the table."""
    file = tmp_path_factory.mktemp("table") / "table.yaml"
    file.write_text(_TABLE)
    return file


def tried(program: Program, table: Path, *flags: str) -> Done:
    return program.run("authz test", str(table), "--by-proxies", *flags)


def test_what_istiod_has_pushed_is_as_the_policies_say(program: Program, table: Path) -> None:
    done = until(lambda: _ended(tried(program, table), 0), 60, lambda: str(tried(program, table)))
    assert "the cart reads: allow by 2 of 2 proxies\n          AuthorizationPolicy shop/web: an ALLOW of the proxy matches" in done.out
    assert done.out.endswith("3 passed\n")
    assert "not pushed" not in done.out


def test_a_policy_that_istiod_cannot_push_is_named_with_the_proxies_until_it_can(program: Program, table: Path, shell: Shell) -> None:
    # Its webhook would judge the policy, and it is not there.
    shell.ok("kubectl", "delete", "validatingwebhookconfigurations", "--all")
    shell.ok("kubectl", "scale", "deployment/istiod", "-n", "istio-system", "--replicas=0")
    shell.ok("kubectl", "wait", "-n", "istio-system", "pod", "-l", "app=istiod", "--for=delete", "--timeout=90s")
    shell.apply(CLOSED)
    done = tried(program, table)
    assert done.status == 0, str(done)
    said = "the cluster's policies say deny (AuthorizationPolicy shop/closed), not allow: shop/web-1, shop/web-2"
    assert f"not pushed, or changed on its way: {said}" in done.out
    document = json.loads(tried(program, table, "-o", "json").out)
    assert [len(case["notes"]) for case in document["cases"]] == [1, 0, 0]
    told = " ".join(program.ok("authz who", "--live", "--by-proxies", "-n", "shop").out.split())
    assert "shop/web-1: not pushed to shop/web-1 FROM PORT WHAT shop/cart any GET" in told
    shell.ok("kubectl", "scale", "deployment/istiod", "-n", "istio-system", "--replicas=1")
    # It does not reach both at the same moment.
    done = until(lambda: _ended(tried(program, table), 4, "by 2 of 2 proxies"), 90, lambda: str(tried(program, table)))
    assert "the cart reads: expected allow, is deny by 2 of 2 proxies" in done.out
    assert "not pushed" not in done.out


def _ended(done: Done, status: int, words: str = "") -> Done | None:
    return done if done.status == status and words in done.out.partition("\n")[0] else None
