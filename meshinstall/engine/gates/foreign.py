"""Finds what somebody else made and what opens more than the policies of an environment's files; beside a proof of mTLS."""

from meshinstall.checks.mtls.weaker_policies import wants_strict, weaker_policies
from meshinstall.engine.observe.cluster import list_peers
from meshinstall.engine.observe.policies import with_policies
from meshinstall.engine.plan.layered_steps import foreign_findings, unseen
from meshinstall.engine.session import Session
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.finding import Finding, Severity


async def foreign_policies(desired: Desired, session: Session) -> tuple[Finding, ...]:
    """The findings of a plan about policies of others; what the environment has none of is not asked for. Raises UnreachableError."""
    weaker = tuple(weaker_policies(desired, await _peers(session))) if wants_strict(desired) else ()
    if not desired.layered:
        return weaker
    facts = await with_policies(desired, Facts(""), session.kube)
    return (*weaker, *unseen(facts, Severity.WARNING), *foreign_findings(desired, facts))


async def _peers(session: Session) -> Facts:
    peers, why, is_denied = await list_peers(session.kube)
    return Facts("", peers=peers, peers_unseen=why, peers_denied=is_denied)
