"""Tells in a verdict what its environment accepts: the outcome stays, and the advice is to change the environment, not the policy."""

from collections.abc import Iterator
from dataclasses import replace

from meshinstall.checks.words import word
from meshinstall.model.acceptance import Acceptance
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.verdict import Verdict


def accepting(verdict: Verdict, acceptance: Acceptance | None, environment: str) -> Verdict:
    """The verdict under an acceptance that is in force; as it is without one."""
    if acceptance is None:
        return verdict
    return replace(verdict, acceptance=acceptance, findings=tuple(_told(verdict, acceptance, environment)))


def _told(verdict: Verdict, acceptance: Acceptance, environment: str) -> Iterator[Finding]:
    for finding in verdict.findings:
        if (finding.code, finding.object) == ("MTL001", acceptance.policy):
            # A command for the policy would close it without asking whom that cuts off, and the next run would open it again.
            hint = (
                f"# to end it: remove mtls and accept ({acceptance.origin}), then\nmeshinstall up --env {word(environment)} --allow strict"
            )
            yield replace(finding, severity=Severity.WARNING, detail=f"{acceptance}; {finding.detail}", hint=hint)
        else:
            yield finding
