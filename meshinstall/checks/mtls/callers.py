"""Plaintext that comes now, as proxies count it: a finding of its own, not a part of the verdict."""

from collections.abc import Iterator

from meshinstall.checks.words import some
from meshinstall.model.callers import Callers
from meshinstall.model.finding import Finding, Severity


def callers_text(callers: Callers | None) -> str:
    """One sentence for people; empty when nobody asked."""
    if callers is None:
        return ""
    counted = callers.asked - callers.silent
    if callers.asked and not counted:
        blind = f"none of the proxies of {some(callers.uncounted)} counts it (they have no telemetry of Istio, or did not answer)"
        return f"cannot tell who sends plaintext: {blind}"
    when = "since the proxies started" if callers.seconds is None else f"in {callers.seconds:.0f} s"
    count = len({one.workload for one in callers.found})
    what = (
        f"{count} {'workload' if count == 1 else 'workloads'} received plaintext" if count else "no workload was seen to receive plaintext"
    )
    blind = f"; not counted by the proxies of {some(callers.uncounted)}" if callers.uncounted else ""
    return f"{when}, {what}, as counted by {counted} {'proxy' if counted == 1 else 'proxies'}{blind}"


def caller_findings(callers: Callers | None) -> Iterator[Finding]:
    """Who would be cut off by STRICT, for each workload that is called."""
    by_workload: dict[str, list[str]] = {}
    for one in callers.found if callers else ():
        source = "callers outside the mesh" if one.source == "unknown" else one.source
        by_workload.setdefault(one.workload, []).append(f"{source} (about {one.times})")
    for workload, sources in by_workload.items():
        title = f"{workload} receives plaintext now"
        hint = "give these callers a proxy, or mTLS; only then set STRICT: it cuts them off"
        yield Finding("MTL061", Severity.WARNING, title, f"requests and connections: {some(sources)}", workload, hint=hint)
