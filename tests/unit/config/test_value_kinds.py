"""Values that Kubernetes refuses are found in the files: types, names, ports, labels, quantities, and a map where a list belongs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshinstall.config.kube_fields import FIELDS
from meshinstall.config.kube_kinds import check_kind
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.config.schema import check_values
from meshinstall.config.value_kinds import KINDS
from meshinstall.errors import ConfigError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.cluster import Cloud
from meshinstall.model.release import Component
from meshinstall.model.request import Request
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind

pytestmark = pytest.mark.tools

Charts = Mapping[str, ChartFiles]


def judged(charts: Charts, component: str, text: str) -> tuple[list[str], list[str]]:
    """Errors and doubts about values in YAML."""
    layer = Layer(LayerKind.ENVIRONMENT, "values.yaml", yaml.safe_load(text), {})
    found = check_values(Component(component), charts[component], ValuesStack((layer,)))
    return [problem.text for problem in found.errors], [problem.text for problem in found.doubts]


WRONG = [
    ("istiod", "replicaCount: 2.5", "replicaCount must be a whole number, not below 0"),
    ("istiod", "replicaCount: -1", "replicaCount must be a whole number, not below 0"),
    ("istiod", "replicaCount: three", "replicaCount must be a whole number, not below 0"),
    ("istiod", "pilot: {autoscaleMax: [5]}", "pilot.autoscaleMax must be a single value, not a list or a map"),
    ("istiod", "autoscaleMin: true", "autoscaleMin must be a whole number above 0"),
    ("istiod", "tolerations: true", "tolerations must be a list"),
    ("cni", "tolerations: [{key: 3, operator: Exists}]", "tolerations.0.key is not a valid label key"),
    (
        "gateway",
        "tolerations: [{operator: Exists, effect: noschedule}]",
        "tolerations.0.effect must be one of NoSchedule, PreferNoSchedule, NoExecute",
    ),
    ("gateway", "tolerations: [{key: a}, {}]", "tolerations.1 needs a key, or operator Exists for every key"),
    (
        "gateway",
        "tolerations: [{key: a, effect: NoSchedule, tolerationSeconds: 3}]",
        "tolerations.0.tolerationSeconds is allowed only beside effect NoExecute",
    ),
    ("ztunnel", "env: 3", "env must be a map"),
    (
        "istiod",
        "envVarFrom: [{name: A, valueFrom: {secretKeyRef: {name: x, key: 3}}}]",
        "envVarFrom.0.valueFrom.secretKeyRef.key must be text",
    ),
    (
        "istiod",
        "envVarFrom: [{name: A, value: b, valueFrom: {}}, {name: A, value: b, valueFrom: {fieldRef: {fieldPath: x}}}]",
        "envVarFrom.1.valueFrom is not allowed beside value",
    ),
    ("istiod", "global: {proxy: x}", "global.proxy must be a map, not a single value"),
    ("istiod", "global: [x]", "global must be a map, not a list"),
    ("istiod", "image: {name: pilot}", "image must be a single value, not a map"),
    ("cni", "excludeNamespaces: kube-system", "excludeNamespaces must be a list"),
    ("istiod", "revisionTags: [prod, prod]", "revisionTags lists prod twice: two objects would have one name"),
    ("istiod", "global: {proxy: {statusPort: 70000}}", "global.proxy.statusPort must be 0 or a port: a whole number up to 65535"),
    ("gateway", "service: {ports: [{name: a, port: 0}]}", "service.ports.0.port must be a port: a whole number from 1 to 65535"),
    ("gateway", "service: {ports: [{name: a, port: 80}, {name: a, port: 81}]}", "service.ports.1.name has the same name as item 0"),
    (
        "gateway",
        "service: {ports: [{name: a, port: 80}, {name: b, port: 80, protocol: TCP}]}",
        "service.ports.1.port has the same port and protocol as item 0",
    ),
    ("gateway", "service: {ports: [{name: a, port: 80}, {port: 81}]}", "service.ports.1 needs a name: the Service has several ports"),
    (
        "gateway",
        "networkGateway: n\nnetworkGatewayPorts: {tls: {port: 0}}",
        "networkGatewayPorts.tls.port must be a port: a whole number from 1 to 65535",
    ),
    ("gateway", f"name: {'a' * 64}", "name must be the name of a Service"),
    ("gateway", "resources: {limits: {cpu: 1z}}", "resources.limits.cpu must be a quantity, not below 0, such as 500m or 1Gi"),
    ("gateway", "resources: {requests: {cpu: '4'}}", "resources.requests.cpu (4) is larger than resources.limits.cpu (2000m)"),
    ("gateway", "resources: {limits: {cpu: 10m}}", "resources.requests.cpu (100m) is larger than resources.limits.cpu (10m)"),
    ("istiod", "resources: {requests: {gpu: 1}}", "resources.requests.gpu is not a resource that a container can ask for"),
    (
        "gateway",
        "topologySpreadConstraints: [{topologyKey: x, maxSkew: '1', whenUnsatisfiable: DoNotSchedule}]",
        "topologySpreadConstraints.0.maxSkew must be a whole number above 0",
    ),
    (
        "gateway",
        "topologySpreadConstraints: [{maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]",
        "topologySpreadConstraints.0 needs topologyKey",
    ),
    (
        "gateway",
        "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: {weight: 1}}}",
        "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution must be a list",
    ),
    ("gateway", "podAnnotations: {a b: x}", "podAnnotations.a b is not a valid key of an annotation"),
    ("istiod", "podLabels: {a: b c}", "podLabels.a must be a valid label value"),
    ("gateway", f"labels: {{{'a' * 64}: x}}", f"labels.{'a' * 64} is not a valid label key"),
    ("ztunnel", "nodeSelector: {Example.com/a: x}", "nodeSelector.Example.com/a is not a valid label key"),
    ("istiod", "global: {imagePullPolicy: always}", "global.imagePullPolicy must be one of Always, IfNotPresent, Never"),
    ("ztunnel", "imagePullSecrets: [{name: x}]", "imagePullSecrets.0 must be a single value, not a list or a map"),
    (
        "cni",
        "global: {imagePullSecrets: ['1']}",
        "global.imagePullSecrets.0 must not look like a number or a boolean: the chart does not quote it",
    ),
    ("gateway", "service: {type: Loadbalancer}", "service.type must be one of ClusterIP, NodePort, LoadBalancer, None"),
    ("gateway", "service: {externalTrafficPolicy: local}", "service.externalTrafficPolicy must be one of Cluster, Local"),
    (
        "gateway",
        "service: {loadBalancerSourceRanges: [10.0.0.0]}",
        "service.loadBalancerSourceRanges.0 must be a CIDR range such as 192.0.2.0/24",
    ),
    ("istiod", "ipFamilies: [ipv4]", "ipFamilies.0 must be one of IPv4, IPv6"),
    ("istiod", "rollingMaxSurge: a quarter", "rollingMaxSurge must be a whole number, not below 0, or a percentage such as 25%"),
    ("istiod", "rollingMaxSurge: 0\nrollingMaxUnavailable: 0%", "rollingMaxUnavailable must be above 0 when rollingMaxSurge is 0"),
    ("istiod", "keepaliveMaxServerConnectionAge: 30", "keepaliveMaxServerConnectionAge must be a duration"),
    (
        "gateway",
        "service: {type: ClusterIP, loadBalancerSourceRanges: [10.0.0.0/8]}",
        "service.loadBalancerSourceRanges needs service.type LoadBalancer, and it is ClusterIP (values.yaml)",
    ),
    ("gateway", "volumes: [{name: a, emptyDir: {sizeLimit: many}}]", "volumes.0.emptyDir.sizeLimit must be a quantity such as 500m or 1Gi"),
    ("istiod", "volumes: [{name: a}, {name: a}]", "volumes.1.name has the same name as item 0"),
    ("gateway", "lifecycle: {preStop: {exec: {command: sleep 5}}}", "lifecycle.preStop.exec.command must be a list"),
    ("cni", "updateStrategy: {type: rollingUpdate}", "updateStrategy.type must be one of OnDelete, RollingUpdate"),
    ("gateway", "global: {terminationGracePeriodSeconds: 1.5}", "global.terminationGracePeriodSeconds must be a whole number"),
    ("gateway", "priorityClassName: '1'", "priorityClassName must be a name of Kubernetes"),
    ("cni", "env: {example.com/a: x}", "env.example.com/a is not a valid key of a ConfigMap"),
    ("istiod", "ipFamilies: [IPv4, IPv4]", "ipFamilies lists a value twice"),
    ("istiod", "rollingMaxUnavailable: 150%", "rollingMaxUnavailable must be a whole number, not below 0, or a percentage up to 100%"),
]


@pytest.mark.parametrize(("component", "values", "problem"), WRONG, ids=lambda text: str(text)[:60])
def test_what_kubernetes_refuses_is_an_error(charts: Charts, component: str, values: str, problem: str) -> None:
    found, _ = judged(charts, component, values)
    assert found == [problem]


RIGHT = [
    ("istiod", "replicaCount: '3'"),
    ("istiod", "replicaCount: 2.0"),
    ("istiod", "rollingMaxSurge: 150%"),
    ("ztunnel", "terminationGracePeriodSeconds: -1"),
    ("cni", "excludeNamespaces: [kube-system, 1]"),
    ("istiod", "autoscaleMin: 0"),
    ("istiod", "affinity: ''\ntolerations: ''\nenv: {}"),
    ("istiod", "rollingMaxSurge: 1\nrollingMaxUnavailable: 0"),
    ("istiod", "initContainers: [{name: '{{ .Release.Name }}', image: '{{ .Values.hub }}/x'}]"),
    ("istiod", "podLabels: {a: 1, b: true}\ndeploymentLabels: {example.com/a: ''}"),
    ("istiod", "resources: {requests: {cpu: 0.5, memory: 2Gi, example.com/gpu: 1}, limits: {cpu: null, memory: ''}}"),
    ("istiod", "envVarFrom: [{name: A, valueFrom: {secretKeyRef: {name: x, key: '3'}}}]"),
    ("istiod", "global: {sts: {servicePort: 0}, imagePullSecrets: [regcred]}"),
    ("istiod", "ipFamilyPolicy: ''\nipFamilies: []\nmemory: {targetAverageUtilization: 80}"),
    ("istiod", "keepaliveMaxServerConnectionAge: 1h30m"),
    ("gateway", "autoscaling: {targetMemoryUtilizationPercentage: 80}"),
    ("gateway", "autoscaling: {enabled: false, minReplicas: 0}"),
    ("gateway", "autoscaling: {targetMemoryUtilizationPercentage: {}}\nminReadySeconds: null\nreplicaCount: null"),
    ("gateway", "tolerations: [{operator: Exists}, {key: a, value: b, effect: NoExecute, tolerationSeconds: 0}]"),
    ("gateway", "service: {ports: [{name: a, port: 53, protocol: UDP, nodePort: 30053}, {name: b, port: 53, nodePort: 30053}]}"),
    ("gateway", "service: {type: ClusterIP, externalIPs: [192.0.2.1], externalTrafficPolicy: Local}"),
    ("gateway", "service: {loadBalancerSourceRanges: [010.0.0.1/8, '::/0']}"),
    ("gateway", "service: {type: None, loadBalancerSourceRanges: [10.0.0.0/8]}"),
    ("gateway", "podAnnotations: {Example.COM/a_b: 'any text'}"),
    ("gateway", "resources: {limits: {cpu: null}, requests: {cpu: '8'}}"),
    ("gateway", "podDisruptionBudget: {minAvailable: 50%}"),
    ("gateway", "nodeSelector: {a: ''}\naffinity: {nodeAffinity: null}"),
    ("gateway", "lifecycle: {preStop: {sleep: {seconds: 5}, aFieldOfANewerKubernetes: 3}}"),
    ("ztunnel", "imagePullSecrets: [regcred]\nglobal: {tolerations: []}"),
    ("cni", "seLinuxOptions: {type: spc_t}\nresourceQuotas: {pods: 10}"),
]


@pytest.mark.parametrize(("component", "values"), RIGHT, ids=lambda text: str(text)[:60])
def test_what_kubernetes_takes_is_not_refused(charts: Charts, component: str, values: str) -> None:
    assert judged(charts, component, values)[0] == []


@pytest.mark.parametrize(
    ("component", "values", "doubt"),
    [
        (
            "gateway",
            "service: {ports: [{name: a, port: 80, nodePort: 8080}]}",
            "service.ports.0.nodePort 8080 is outside of 30000-32767, the node ports of a cluster unless it was set up otherwise",
        ),
        ("istiod", "autoscaleEnabled: 'false'", "autoscaleEnabled is text: where the chart asks whether it is true, any text is"),
    ],
)
def test_what_may_be_meant_is_a_doubt(charts: Charts, component: str, values: str, doubt: str) -> None:
    assert judged(charts, component, values) == ([], [doubt])


def test_the_charts_own_values_have_no_mistake(charts: Charts) -> None:
    for component in KINDS:
        own = yaml.safe_load(charts[component].values)["_internal_defaults_do_not_set"]
        found = [mistake for path, kind in KINDS[component].items() for mistake in check_kind((path,), _at(own, path), kind)]
        assert found == [], component


def test_every_kind_of_the_tables_is_described() -> None:
    kinds = {kind for table in KINDS.values() for kind in table.values()}
    kinds |= {field.partition(":")[2] for fields in FIELDS.values() for field in fields.split()}
    for kind in kinds:
        inner = re.sub(r"^(\?|list\(|map\(|bare\()+|\)+$", "", kind) if "enum" not in kind else "any"
        # Raises KeyError for a kind that nothing knows.
        assert isinstance(list(check_kind(("a",), {"a": "b"}, inner)), list)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from("0"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "type", "ports", "a"]), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([(component, path) for component, table in KINDS.items() for path in table]), _JSON)
def test_whatever_is_written_is_judged_and_raises_nothing(charts: Charts, place: tuple[Component, str], value: Any) -> None:
    component, path = place
    values: Any = value
    for key in reversed(path.split(".")):
        values = {key: values}
    layer = Layer(LayerKind.ENVIRONMENT, "values.yaml", values, {})
    found = check_values(component, charts[component], ValuesStack((layer,)))
    assert all(problem.source == "values.yaml" for problem in (*found.errors, *found.doubts))


def test_a_mistake_is_at_the_line_of_its_item(tmp_path: Path, charts: Charts) -> None:
    (tmp_path / "meshinstall.yaml").write_text("""\
apiVersion: meshinstall.dev/v1
environments:
  dev:
    cloud: local
    values:
      istiod:
        tolerations:
        - {key: a}
        - operator: Exists
          effect: Never
""")
    desired = resolve(Request(environment="dev"), load_project(None, {}, tmp_path))
    istiod = next(each for each in desired.releases if each.component is Component.ISTIOD)
    (error,) = check_values(istiod.component, charts["istiod"], istiod.values).errors
    assert str(error) == "meshinstall.yaml:10:11: tolerations.1.effect must be one of NoSchedule, PreferNoSchedule, NoExecute"


def test_a_port_of_the_nodes_belongs_to_one_gateway(tmp_path: Path) -> None:
    (tmp_path / "meshinstall.yaml").write_text("""\
apiVersion: meshinstall.dev/v1
environments:
  dev:
    cloud: local
    gateways:
      one: {values: {service: {type: NodePort, ports: [{name: a, port: 80, nodePort: 30080}]}}}
      two: {values: {service: {ports: [{name: a, port: 80, nodePort: 30080}]}}}
      udp: {values: {service: {ports: [{name: a, port: 80, nodePort: 30080, protocol: UDP}]}}}
      inside: {values: {service: {type: ClusterIP, ports: [{name: a, port: 80, nodePort: 30080}]}}}
""")
    with pytest.raises(ConfigError) as caught:
        resolve(Request(environment="dev", cloud=Cloud.LOCAL), load_project(None, {}, tmp_path))
    assert [str(problem) for problem in caught.value.problems] == ["meshinstall.yaml:7:60: node port 30080 is that of gateway one/one too"]


def _at(values: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values
