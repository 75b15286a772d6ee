"""Makes meshes: every kind of object that decides who speaks which TLS to whom, as people and controllers write them.

Many meshes share one istiod, so names begin with MESH- and addresses carry NET; ``placed`` fills them in.
"""

import json
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from testbed.api import Json
from testbed.referee.crds import ROOT_NAMESPACE
from tests.referees import kinds

Objects = tuple[Json, ...]

A, B = "MESH-a", "MESH-b"
_APPS = ("web", "api")
_SUFFIX = "svc.cluster.local"
_EXTERNAL = "MESH-ext.example"
# One name for one number, as in most charts; the number of a Service tells its protocol, so that no two share a listener.
_PORTS = {"http": (80, 8080), "tcp-db": (9000, 9090), "": (7000, 7070)}
_MODES = st.sampled_from(["UNSET", "DISABLE", "PERMISSIVE", "STRICT"])


def placed(mesh: Sequence[Json], number: int) -> list[Json]:
    """The objects of a mesh under names and addresses of its own."""
    text = json.dumps(mesh).replace("MESH-", f"{name_of(number)}-").replace("NET", f"{100 + number // 250}.{number % 250}")
    found: list[Json] = json.loads(text)
    return found


def name_of(number: int) -> str:
    """What stands for MESH in the mesh of a number below a thousand; none is the beginning of another."""
    return f"m{number:03}"


def generated(count: int, number: int) -> list[Objects]:
    """``count`` meshes of the seed ``number``."""
    found: list[Objects] = []

    @seed(number)
    @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(meshes())
    def keep(mesh: Objects) -> None:
        found.append(mesh)

    keep()
    return found


@st.composite
def meshes(draw: st.DrawFn) -> Objects:
    """Pods, Services and their endpoints, then what Istio makes of them; the client in A and that in B have sidecars."""
    services = draw(_some(_services(), 1, 3))
    pods = [
        kinds.pod(f"{A}/client", "10.NET.1", {"app": "client", **kinds.MESH_TLS}),
        kinds.pod(f"{B}/client", "10.NET.2", {"app": "client", **kinds.MESH_TLS}),
        *draw(_pods([_place(service) for service in services])),
    ]
    objects: list[Json] = list(pods)
    for service in services:
        objects += [service, *draw(_slices(service, pods))]
    hosts = [f"{service['metadata']['name']}.{service['metadata']['namespace']}.{_SUFFIX}" for service in services]
    for strategy, most in ((_policies(), 3), (_rules(hosts), 4), (_scopes(), 2), (_entries(), 2), (_workloads(), 1)):
        objects += draw(_some(strategy, 0, most))
    return tuple(objects)


def _some(strategy: st.SearchStrategy[Json], least: int, most: int) -> st.SearchStrategy[list[Json]]:
    """Objects with different names. A list of any size would mostly be short, and hypothesis likes the first of several."""
    sizes = st.sampled_from(range(most, least - 1, -1))
    return sizes.flatmap(lambda size: st.lists(strategy, min_size=size, max_size=size, unique_by=_place))


def _place(found: Json) -> tuple[str, str]:
    return found["metadata"]["namespace"], found["metadata"]["name"]


def _namespaces() -> st.SearchStrategy[str]:
    return st.sampled_from([A, B])


def _pods(places: Sequence[tuple[str, str]]) -> st.SearchStrategy[list[Json]]:
    """Up to three behind the Services of these names, each with an address of its own; in some the port ``app`` has another number."""
    one = st.builds(
        lambda place, version, meshed, app: (place[0], {"app": place[1], "version": version, **(kinds.MESH_TLS if meshed else {})}, app),
        st.sampled_from(places),
        st.sampled_from(["v1", "v2"]),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([8080, 8080, 9090]),
    )
    sizes = st.sampled_from([3, 2, 1])
    return sizes.flatmap(lambda size: st.lists(one, min_size=size, max_size=size)).map(
        lambda some: [
            kinds.pod(f"{namespace}/{labels['app']}-{index}", f"10.NET.{10 + index}", labels, ports=_declared(app))
            for index, (namespace, labels, app) in enumerate(some)
        ]
    )


def _declared(app: int) -> list[Json]:
    return [
        {"name": "app", "containerPort": app, "protocol": "TCP"},
        *({"containerPort": port, "protocol": "TCP"} for port in (8080, 9090) if port != app),
    ]


def _app(pod: Json) -> int:
    """The number that the port ``app`` has in a pod."""
    return next((port["containerPort"] for port in pod["spec"]["containers"][0]["ports"] if port.get("name") == "app"), 8080)


def _services() -> st.SearchStrategy[Json]:
    names = st.lists(st.sampled_from(list(_PORTS)), min_size=1, max_size=2, unique=True)
    return st.builds(
        _service, _namespaces(), st.sampled_from(_APPS), names, st.sampled_from(["", "", "headless", "bare", "name"]), _exports()
    )


def _service(namespace: str, app: str, names: list[str], kind: str, export: list[str]) -> Json:
    ports = [kinds.port(*_PORTS[name], name or "unnamed") for name in names]
    if ports[0]["name"] == "http":
        ports[0]["targetPort"] = "app"
    fields = {"headless": {"clusterIP": "None"}, "name": {"type": "ExternalName", "externalName": "out.example"}}.get(kind, {})
    selector = None if kind in {"bare", "name"} else {"app": app}
    found = kinds.service(f"{namespace}/{app}", ports, selector, **fields)
    if export:
        found["metadata"]["annotations"] = {"networking.istio.io/exportTo": ",".join(export)}
    return found


def _slices(of: Json, pods: Sequence[Json]) -> st.SearchStrategy[list[Json]]:
    """What the controller writes for a selector; for a Service without one, somebody names a pod or an address outside."""
    spec = of["spec"]
    if spec.get("type") == "ExternalName":
        return st.just([])

    def ports(app: int) -> dict[str, int]:
        return {port["name"]: app if port["targetPort"] == "app" else port["targetPort"] for port in spec["ports"]}

    near = [pod for pod in pods if pod["metadata"]["namespace"] == of["metadata"]["namespace"]]
    if app := spec.get("selector", {}).get("app"):
        mine = [pod for pod in near if pod["metadata"]["labels"]["app"] == app]
        parts = {number: [pod for pod in mine if _app(pod) == number] for number in map(_app, mine)} or {8080: []}
        return st.just([kinds.endpoints(of, some, ports(number), part=f"-{number}") for number, some in parts.items()])
    return st.sampled_from([[kinds.endpoints(of, [], ports(8080), ["10.NET.200"])], [kinds.endpoints(of, near[-1:], ports(8080))]])


def _exports() -> st.SearchStrategy[list[str]]:
    return st.sampled_from([[], [], [], ["."], ["*"], [A], [B]])


def _policies() -> st.SearchStrategy[Json]:
    def build(namespace: str, app: str, mode: str, ports: dict[str, str]) -> Json:
        spec: Json = {"mtls": {"mode": mode}}
        if app:
            spec["selector"] = {"matchLabels": {"app": app}}
        if app and ports:
            spec["portLevelMtls"] = {port: {"mode": at} for port, at in ports.items()}
        return kinds.istio("PeerAuthentication", f"{namespace}/{app or 'default'}", spec)

    ports = st.dictionaries(st.sampled_from(["8080", "9090", "7070"]), _MODES, max_size=2)
    return st.builds(build, _namespaces(), st.sampled_from(["", *_APPS, "vm"]), _MODES, ports)


def _traffic() -> st.SearchStrategy[Json]:
    """A trafficPolicy; any part of it may be left out."""
    tls = st.sampled_from(["DISABLE", "ISTIO_MUTUAL", "SIMPLE"]).map(lambda mode: {"tls": {"mode": mode}})
    nothing = st.sampled_from([{}, {"connectionPool": {"tcp": {"maxConnections": 100}}}])
    settings = st.lists(
        st.builds(lambda port, what: {"port": {"number": port}, **what}, st.sampled_from([80, 9000, 7000]), tls | tls | nothing),
        max_size=2,
        unique_by=lambda found: found["port"]["number"],
    )
    return st.builds(lambda what, ports: {**what, **({"portLevelSettings": ports} if ports else {})}, tls | tls | nothing, settings)


def _rules(hosts: Sequence[str]) -> st.SearchStrategy[Json]:
    """DestinationRules, most for a host that there is."""
    return st.fixed_dictionaries(
        {
            "namespace": st.sampled_from([A, B, A, B, ROOT_NAMESPACE]),
            "number": st.integers(1, 3),
            "host": st.sampled_from([*hosts, *hosts, *_APPS, f"*.{A}.{_SUFFIX}", f"*.{B}.{_SUFFIX}", _EXTERNAL]),
            "policy": _traffic(),
            "subsets": st.dictionaries(st.sampled_from(["v1", "v2"]), _traffic(), max_size=2),
            "exports": _exports(),
            "selected": st.integers(0, 5).map(lambda drawn: drawn == 1),
        }
    ).map(_rule)


def _rule(drawn: Json) -> Json:
    spec: Json = {"host": drawn["host"]}
    if drawn["policy"]:
        spec["trafficPolicy"] = drawn["policy"]
    if drawn["subsets"]:
        spec["subsets"] = [
            {"name": name, "labels": {"version": name}, **({"trafficPolicy": own} if own else {})} for name, own in drawn["subsets"].items()
        ]
    if drawn["exports"]:
        spec["exportTo"] = drawn["exports"]
    if drawn["selected"]:
        spec["workloadSelector"] = {"matchLabels": {"app": "client"}}
    return kinds.istio("DestinationRule", f"{drawn['namespace']}/MESH-rule-{drawn['number']}", spec)


def _scopes() -> st.SearchStrategy[Json]:
    """Sidecar objects: which hosts the proxies of a namespace know, and what they do with all others."""

    def build(namespace: str, hosts: list[str], mode: str, selected: bool) -> Json:  # noqa: FBT001 - drawn by position
        spec: Json = {"egress": [{"hosts": hosts}]}
        if mode:
            spec["outboundTrafficPolicy"] = {"mode": mode}
        if selected:
            spec["workloadSelector"] = {"labels": {"app": "client"}}
        return kinds.istio("Sidecar", f"{namespace}/{'chosen' if selected else 'default'}", spec)

    hosts = st.lists(
        st.sampled_from(["./*", f"{B}/*", f"{A}/web.{A}.{_SUFFIX}", "istio-system/*", "~/*"]), min_size=1, max_size=2, unique=True
    )
    return st.builds(build, _namespaces(), hosts, st.sampled_from(["", "ALLOW_ANY", "REGISTRY_ONLY"]), st.booleans())


def _entries() -> st.SearchStrategy[Json]:
    addresses = [f"10.NET.{last}" for last in (210, 211)]
    return st.fixed_dictionaries(
        {
            "namespace": _namespaces(),
            "location": st.sampled_from(["MESH_INTERNAL", "MESH_EXTERNAL"]),
            "resolution": st.sampled_from(["NONE", "STATIC", "DNS"]),
            "points": st.lists(_points(addresses), min_size=1, max_size=2, unique_by=lambda point: point["address"]),
            "selects": st.booleans(),
            "exports": _exports(),
        }
    ).map(_entry)


def _entry(drawn: Json) -> Json:
    """A ServiceEntry; what its resolution does not allow is left out."""
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 9100, "name": "tcp", "protocol": "TCP"}]
    spec: Json = {"hosts": [_EXTERNAL], "addresses": ["10.NET.250"], "ports": ports}
    spec |= {"location": drawn["location"], "resolution": drawn["resolution"]}
    if drawn["resolution"] == "STATIC" and drawn["selects"]:
        spec["workloadSelector"] = {"labels": {"app": "vm"}}
    elif drawn["resolution"] != "NONE":
        spec["endpoints"] = drawn["points"]
    if drawn["exports"]:
        spec["exportTo"] = drawn["exports"]
    return kinds.istio("ServiceEntry", f"{drawn['namespace']}/entry", spec)


def _points(addresses: Sequence[str]) -> st.SearchStrategy[Json]:
    """Endpoints outside Kubernetes: with an account, which istiod takes for a sidecar, or with the injector's label."""
    return st.builds(
        lambda address, account, labels: {"address": address, **({"serviceAccount": account} if account else {}), "labels": labels},
        st.sampled_from(addresses),
        st.sampled_from(["", "vm"]),
        st.sampled_from([{"app": "vm"}, {"app": "vm", **kinds.MESH_TLS}, {"app": "vm", "security.istio.io/tlsMode": "disabled"}]),
    )


def _workloads() -> st.SearchStrategy[Json]:
    return st.builds(
        lambda namespace, point: kinds.istio("WorkloadEntry", f"{namespace}/vm", point), _namespaces(), _points(["10.NET.220"])
    )
