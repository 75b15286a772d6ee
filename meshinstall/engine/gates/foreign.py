"""Finds what somebody else made and what opens more than the policies of an environment's files; beside a proof of mTLS."""

from meshinstall.engine.observe.policies import with_policies
from meshinstall.engine.plan.layered_steps import foreign_findings, unseen
from meshinstall.engine.session import Session
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.finding import Finding, Severity


async def foreign_policies(desired: Desired, session: Session) -> tuple[Finding, ...]:
    """The findings of a plan about policies of others; without an object in the files nothing is asked. Raises UnreachableError."""
    if not desired.layered:
        return ()
    facts = await with_policies(desired, Facts(""), session.kube)
    return (*unseen(facts, Severity.WARNING), *foreign_findings(desired, facts))
