"""What makes the API server call a Service, and that not all of it could be read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.gates.verify import Scope, verify
from meshinstall.engine.mesh.api_server_clients import api_server_clients, ask_api_server_clients
from meshinstall.errors import UnreachableError
from meshinstall.model.mesh import ApiServerClient, Place
from meshinstall.model.verdict import Verdict
from tests.fake_kube import forbidden
from tests.unit.engine.hostile import mutated
from tests.unit.engine.mesh.kube_worlds import metadata
from tests.unit.engine.mesh.survey_world import Mesh

HOOK = Place("shop", "hook")
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def service(**more: Any) -> dict[str, Any]:
    return {"namespace": "shop", "name": "hook", **more}


def webhooks(*ones: tuple[dict[str, Any], str]) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "webhooks": [{"clientConfig": config, "failurePolicy": policy} for config, policy in ones]}


def by_service(policy: str = "Fail", **more: Any) -> tuple[dict[str, Any], str]:
    return ({"service": service(**more)}, policy)


@pytest.mark.parametrize(
    ("kind", "item", "expected"),
    [
        ("ValidatingWebhookConfiguration", webhooks(by_service()), [(443, True)]),
        ("MutatingWebhookConfiguration", webhooks(by_service("Ignore", port=8443)), [(8443, False)]),
        # Of several for one port the worst counts; nothing is said means Fail.
        ("MutatingWebhookConfiguration", webhooks(by_service("Ignore"), by_service(""), by_service("Ignore")), [(443, True)]),
        ("MutatingWebhookConfiguration", webhooks(({"url": "https://x.example"}, "Fail")), []),
        ("APIService", {"metadata": {"name": "x"}, "spec": {"service": service(port=6443)}}, [(6443, True)]),
        ("APIService", {"metadata": {"name": "x"}, "spec": {"service": None}}, []),
        (
            "CustomResourceDefinition",
            {"metadata": {"name": "x"}, "spec": {"conversion": {"webhook": {"clientConfig": {"service": service()}}}}},
            [(443, True)],
        ),
        ("CustomResourceDefinition", {"metadata": {"name": "x"}, "spec": {"conversion": {"strategy": "None"}}}, []),
    ],
)
def test_what_leads_the_api_server_to_a_service(kind: str, item: dict[str, Any], expected: list[tuple[int, bool]]) -> None:
    assert list(api_server_clients(item, kind)) == [ApiServerClient(kind, "x", HOOK, port, fails) for port, fails in expected]


@given(st.data(), st.sampled_from(["ValidatingWebhookConfiguration", "APIService", "CustomResourceDefinition"]))
def test_whatever_an_object_holds_is_read_or_refused(data: st.DataObject, kind: str) -> None:
    spec = {"service": service(port=1), "conversion": {"webhook": {"clientConfig": {"service": service()}}}}
    try:
        found = api_server_clients(data.draw(mutated({**webhooks(by_service()), "spec": spec})), kind)
    except ValueError:
        return
    assert all(isinstance(one.port, int) for one in found)


@pytest.mark.anyio
async def test_what_may_not_be_listed_is_a_gap_and_the_rest_is_known() -> None:
    there = Mesh()
    there.kube.refusals[f"LIST {WEBHOOKS}"] = forbidden("validatingwebhookconfigurations")
    there.add("apiregistration.k8s.io/v1", "apiservices", {"metadata": {"name": "v1.x"}, "spec": {"service": service()}})
    found = await ask_api_server_clients(there.session())
    assert [one for one in found.clients if one.service == HOOK] == [ApiServerClient("APIService", "v1.x", HOOK, 443)]
    assert found.unread == ("ValidatingWebhookConfiguration",)
    assert [gap.partition(":")[0] for gap in found.gaps] == ["ValidatingWebhookConfigurations could not be listed"]


@pytest.mark.anyio
async def test_an_api_server_that_is_gone_is_no_gap() -> None:
    there = Mesh()
    there.kube.refusals[f"LIST {WEBHOOKS}"] = UnreachableError("the API server is gone")
    with pytest.raises(UnreachableError):
        await ask_api_server_clients(there.session())


async def verified(there: Mesh) -> Verdict:
    return await verify(there.session(), Scope(None, read_only=True), lambda _: None)


@pytest.mark.anyio
async def test_a_fix_that_closes_a_port_knows_who_is_called() -> None:
    there = Mesh()
    there.add("v1", "namespaces", {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}})
    there.add("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", webhooks(by_service()))
    there.add(
        "v1", "services", {"metadata": metadata("hook"), "spec": {"selector": {"app": "web"}, "ports": [{"port": 443, "targetPort": 8080}]}}
    )
    verdict = await verified(there)
    (hint,) = (one.hint for one in verdict.findings if one.code == "MTL001")
    assert "# ValidatingWebhookConfiguration x (failurePolicy Fail) makes the API server call port 8080 of shop/" in hint
    assert verdict.gaps == ()


@pytest.mark.anyio
async def test_nobody_asks_where_nothing_fails() -> None:
    there = Mesh()
    there.kube.refusals["LIST /api/v1/pods"] = forbidden("pods")
    await verified(there)
    assert not [call for call in there.kube.calls if call.endswith(("/apiservices", "/customresourcedefinitions"))]
