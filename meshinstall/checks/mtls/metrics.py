"""Judges what a sidecar's agent hands out of its application in plaintext, whatever the policies say."""

from collections.abc import Iterable, Iterator

from meshinstall.checks.words import some
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.mesh import Pod


def metrics_findings(pods: Iterable[Pod]) -> Iterator[Finding]:
    """One for each namespace with pods whose metrics everybody can read."""
    found: dict[tuple[str, int], dict[str, None]] = {}
    for pod in pods:
        if pod.metrics_port:
            found.setdefault((pod.place.namespace, pod.metrics_port), {})[pod.workload] = None
    for (namespace, port), workloads in sorted(found.items()):
        title = f"namespace {namespace}: application metrics leave in plaintext on {port}"
        detail = f"the proxy's agent serves them to every client, whatever the policy is: {some(sorted(workloads))}"
        hint = (
            'set METRICS_LOCALHOST_ACCESS_ONLY: "true" in proxyMetadata, and from Istio 1.31 on ENVOY_SECURE_MERGED_METRICS_PORT: "15092", '
            "which serves them with mutual TLS and must be in excludeInboundPorts; "
            'or annotate the pods with prometheus.istio.io/merge-metrics: "false"'
        )
        kind, _, name = next(iter(workloads)).partition(" ")
        where = f"{kind} {namespace}/{name}" if len(workloads) == 1 else f"Namespace {namespace}"
        yield Finding("MTL057", Severity.WARNING, title, detail, where, hint=hint)


def served(pods: Iterable[Pod]) -> Iterator[str]:
    """What can be read so, as ``Outside.reachable`` names it."""
    for pod in pods:
        if pod.metrics_port and pod.running:
            yield f"{pod.place.namespace}/{pod.workload}:{pod.metrics_port} metrics"
