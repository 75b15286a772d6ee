"""The admin port of a pod's own Envoy."""

import json
from typing import Any

import pytest

from meshinstall.engine.mesh.envoy import dump_path
from meshinstall.engine.mesh.kube_objects import mesh_settings
from meshinstall.engine.mesh.pods import PodSeen, misread, settled
from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.engine.objects.json_fields import MalformedError
from tests.unit.engine.mesh.kube_worlds import PROXY, init, pod
from tests.unit.engine.mesh.survey_world import EDGE, RECORDED, WEB, Mesh, of


def seen(config: str | None, revision: str = "", name: str = "web") -> PodSeen:
    env = [] if config is None else [{"name": "PROXY_CONFIG", "value": config}]
    spec: dict[str, Any] = {"containers": [{"name": "istio-proxy", "args": ["proxy", "sidecar"], "env": env}]}
    meta = {"name": name, "namespace": "shop", "annotations": {"istio.io/rev": revision}}
    found = read_pod({"metadata": meta, "spec": spec, "status": {"phase": "Running"}}, frozenset())
    assert found
    return found


@pytest.mark.parametrize(
    ("config", "port"),
    [('{"proxyAdminPort":15999}\n', 15999), ('{"proxy_admin_port":15998}', 15998), ("{}\n", 15000), ("", 15000), ("{}", 15000)],
)
def test_a_pod_says_itself_where_its_envoy_answers(config: str, port: int) -> None:
    (found,) = settled([seen(config)], {"default": 16000})
    assert found.pod.admin_port == port
    assert misread([found]) == ()


@pytest.mark.parametrize(
    "config",
    [*map(json.dumps, ({"proxyAdminPort": bad} for bad in ("15999", 0.5, -1, 65536, True, [1]))), "[]", "{", "[" * 100000, "1"],
    ids=str.__len__,
)
def test_what_cannot_be_a_port_is_a_gap(config: str) -> None:
    found = settled([seen(config), seen(config, name="api")], {"default": 16000})
    assert [one.pod.admin_port for one in found] == [15000, 15000]
    text = "PROXY_CONFIG of some pods could not be parsed, so their Envoys are asked on port 15000: shop/web, shop/api"
    assert misread(found) == (text,)


@pytest.mark.parametrize(("revision", "port"), [("default", 16000), ("canary", 17000), ("gone", 16000), ("", 16000)])
def test_without_words_of_its_own_the_meshs_count(revision: str, port: int) -> None:
    (found,) = settled([seen(None, revision)], {"default": 16000, "canary": 17000})
    assert found.pod.admin_port == port
    (alone,) = settled([seen(None, revision)], {})
    assert alone.pod.admin_port == 15000


def test_the_meshs_default() -> None:
    assert mesh_settings({"data": {"mesh": "defaultConfig:\n  proxyAdminPort: 16000"}}).admin_port == 16000
    assert mesh_settings({"data": {"mesh": "defaultConfig: {}"}}).admin_port == 15000
    with pytest.raises(MalformedError, match="not a port"):
        mesh_settings({"data": {"mesh": "defaultConfig:\n  proxyAdminPort: 99999"}})


SCRAPED = {"ISTIO_PROMETHEUS_ANNOTATIONS": '{"scrape":"true","path":"/metrics","port":"8080"}'}


@pytest.mark.parametrize(
    ("environment", "exclude", "port"),
    [
        (SCRAPED, "15020", 15020),
        ({}, "15020", 0),
        ({"ISTIO_PROMETHEUS_ANNOTATIONS": '{"scrape":"false"}'}, "15020", 0),
        ({"ISTIO_PROMETHEUS_ANNOTATIONS": '{"port":"8080"}'}, "15020", 15020),
        ({"ISTIO_PROMETHEUS_ANNOTATIONS": "{"}, "15020", 0),
        ({"ISTIO_PROMETHEUS_ANNOTATIONS": "[]"}, "15020", 0),
        (SCRAPED | {"METRICS_LOCALHOST_ACCESS_ONLY": "true"}, "15020", 0),
        (SCRAPED | {"METRICS_LOCALHOST_ACCESS_ONLY": "false"}, "15020", 15020),
        (SCRAPED | {"METRICS_LOCALHOST_ACCESS_ONLY": "yes"}, "15020", 15020),
        (SCRAPED | {"PROXY_CONFIG": '{"statusPort":15025}'}, "15025", 15025),
        (SCRAPED | {"PROXY_CONFIG": "{}"}, "15020", 15020),
        # Where it is redirected, policies count.
        (SCRAPED, "15021", 0),
    ],
)
def test_metrics_that_an_agent_serves_to_everybody(environment: dict[str, str], exclude: str, port: int) -> None:
    told = {**PROXY, "env": [{"name": name, "value": value} for name, value in environment.items()]}
    found = read_pod(pod(inits=[init(exclude=exclude)], containers=[told]), frozenset())
    assert found
    assert found.pod.metrics_port == port


@pytest.mark.anyio
async def test_an_envoy_is_asked_where_its_pod_says_it_answers() -> None:
    mesh = Mesh()
    told = {**PROXY, "restartPolicy": "Always", "env": [{"name": "PROXY_CONFIG", "value": '{"proxyAdminPort":15999}'}]}
    mesh.add("v1", "pods", pod(labels={"app": "web"}, inits=[init(), told]))
    mesh.pods.answers[(*WEB, 15999, dump_path())] = of(WEB, RECORDED)
    facts = await mesh.look()
    assert facts.proxies[WEB].problem == ""
    assert mesh.asked.at == {(EDGE, 15000), (WEB, 15999)}


@pytest.mark.anyio
async def test_an_envoy_of_a_pod_without_words_of_its_own_answers_where_the_mesh_says() -> None:
    mesh = Mesh()
    mesh.configure("defaultConfig:\n  proxyAdminPort: 16000")
    await mesh.look()
    assert mesh.asked.at == {(EDGE, 16000), (WEB, 16000)}


@pytest.mark.anyio
async def test_a_pod_whose_words_are_no_port_is_a_gap() -> None:
    mesh = Mesh()
    told = {**PROXY, "restartPolicy": "Always", "env": [{"name": "PROXY_CONFIG", "value": '{"proxyAdminPort":"x"}'}]}
    mesh.add("v1", "pods", pod(labels={"app": "web"}, inits=[init(), told]))
    facts = await mesh.look()
    assert facts.gaps == ("PROXY_CONFIG of some pods could not be parsed, so their Envoys are asked on port 15000: shop/web",)
    assert facts.proxies[WEB].problem == ""
