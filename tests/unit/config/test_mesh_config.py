"""istiod's meshConfig against the fields of Istio's MeshConfig: what istiod ignores is a warning, what keeps it from starting an error."""

from typing import Any

import pytest

from meshinstall.config.mesh_config import MeshVerdict, check_mesh_config
from meshinstall.config.mesh_config_fields import FIELDS
from meshinstall.config.source import parse
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import LayerKind


def verdict(text: str, version: str = "1.31.0") -> MeshVerdict:
    problems: list[Any] = []
    layer = parse(text, "values.yaml", problems).layer(LayerKind.ENVIRONMENT)
    assert problems == []
    return check_mesh_config(ValuesStack((layer,) if layer else ()), version)


def test_fields_that_istiod_does_not_read_are_named_with_the_nearest() -> None:
    found = verdict("""\
meshConfig:
  accessLogFle: /dev/stdout
  defaultConfig:
    holdApplicationUntilProxyStart: true
    tracing: {samplin: 1}
  extensionProviders:
    - name: otel
      opentelemetry: {servce: a, port: 4317}
pilot:
  meshConfig: {enableTracin: true}
""")
    assert found.errors == ()
    assert [f"{problem} ({problem.hint})" for problem in found.unknown] == [
        "values.yaml:2:3: meshConfig.accessLogFle is not read by istiod (did you mean accessLogFile?)",
        (
            "values.yaml:4:5: meshConfig.defaultConfig.holdApplicationUntilProxyStart is not read by istiod "
            "(did you mean holdApplicationUntilProxyStarts?)"
        ),
        "values.yaml:5:15: meshConfig.defaultConfig.tracing.samplin is not read by istiod (did you mean sampling?)",
        "values.yaml:8:23: meshConfig.extensionProviders.0.opentelemetry.servce is not read by istiod (did you mean service?)",
        "values.yaml:10:16: pilot.meshConfig.enableTracin is not read by istiod (did you mean enableTracing?)",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("enableTracing: 'true'", "enableTracing must be true or false (without quotes)"),
        ("connectTimeout: 10", "connectTimeout must be a duration (such as 10s, with its unit)"),
        ("connectTimeout: 10 s", "connectTimeout must be a duration (such as 10s, with its unit)"),
        ("proxyListenPort: 15001.5", "proxyListenPort must be a whole number ()"),
        ("proxyListenPort: http", "proxyListenPort must be a whole number ()"),
        ("trustDomain: 7", "trustDomain must be text (quote it)"),
        ("trust_domain: 7", "trust_domain must be text (quote it)"),
        ("trustDomainAliases: a", "trustDomainAliases must be a list ()"),
        ("trustDomainAliases: [7]", "trustDomainAliases.0 must be text (quote it)"),
        ("defaultConfig: []", "defaultConfig must be a map ()"),
        ("defaultConfig: {proxyMetadata: {A: true}}", "defaultConfig.proxyMetadata.A must be text (quote it)"),
        ("defaultConfig: {gatewayTopology: {numTrustedProxies: -1}}", "must be a whole number, not below 0 ()"),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONL}", "mode must be one of Istio's names for it (did you mean REGISTRY_ONLY?)"),
        ("discoverySelectors: [{matchLabels: {a: true}}]", "discoverySelectors.0.matchLabels.a must be text (quote it)"),
    ],
)
def test_a_type_that_keeps_istiod_from_starting_is_an_error(text: str, problem: str) -> None:
    (error,) = verdict(f"meshConfig: {{{text}}}").errors
    assert f"{error} ({error.hint})".endswith(problem)
    assert str(error).startswith("values.yaml:1:")


@pytest.mark.parametrize(
    "text",
    [
        "proxyListenPort: '15001', connectTimeout: 1m30s, enableTracing: null, trust_domain: a",
        "defaultConfig: {concurrency: 0, tracing: {sampling: '1.5'}, proxy_metadata: {A: b}, drainDuration: 45s}",
        "outboundTrafficPolicy: {mode: 1}, accessLogEncoding: JSON, localityLbSetting: {distribute: [{from: a, to: {b: 100}}]}",
        "extensionProviders: [{name: a, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {status: 7, x: {z: [true]}}}}}]",
        "proxyListenPort: 15001.0",
    ],
)
def test_what_protobuf_reads_is_left_alone(text: str) -> None:
    assert verdict(f"meshConfig: {{{text}}}") == MeshVerdict()


def test_a_spelling_that_istiod_reads_and_drops_is_named() -> None:
    (problem,) = verdict("meshConfig: {default_config: {concurrency: 2}}").unknown
    assert f"{problem} ({problem.hint})" == (
        "values.yaml:1:14: meshConfig.default_config is not read by istiod in this spelling (write defaultConfig)"
    )


def test_another_minor_than_that_of_the_list_is_not_checked() -> None:
    assert verdict("meshConfig: {newField: true, trustDomain: 7}", "1.32.0") == MeshVerdict()


def test_every_message_of_the_list_is_in_the_list() -> None:
    known = {"text", "bool", "int", "uint", "float", "duration", "any"}
    for message, fields in FIELDS.items():
        for field in fields.split():
            kind = field.partition(":")[2].removeprefix("list(").removeprefix("map(").rstrip(")")
            assert kind in known or kind in FIELDS or kind.startswith("enum("), f"{message}.{field}"
