"""Plaintext in the past, as a Prometheus counted it: a finding of its own, not a part of the verdict on the present."""

from collections.abc import Iterator

from meshinstall.checks.words import some
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.mesh import History


def history_text(history: History | None) -> str:
    """One sentence for people; empty when nobody asked."""
    if history is None:
        return ""
    if history.problem:
        return f"the last {history.days} days are unknown: {history.problem}"
    count = len(history.plaintext)
    what = f"{count} {'workload' if count == 1 else 'workloads'} received plaintext" if count else "no workload received plaintext"
    return f"in the last {history.days} days {what}, as counted by {history.source}"


def history_findings(history: History | None) -> Iterator[Finding]:
    """Who was reached in plaintext: those clients stop when the port closes."""
    if history is None or not history.plaintext:
        return
    named = [f"{workload} (about {count})" for workload, count in sorted(history.plaintext, key=lambda pair: -pair[1])]
    by = "sum by (source_workload_namespace, source_workload) (increase(istio_requests_total"
    chosen = 'reporter="destination",connection_security_policy!="mutual_tls"'
    hint = f"find the callers with this Prometheus query: {by}{{{chosen}}}[{history.days}d]))"
    title = f"workloads that received plaintext in the last {history.days} days: {len(named)}"
    yield Finding("MTL060", Severity.WARNING, title, f"requests and connections: {some(named)}", history.source, hint=hint)
