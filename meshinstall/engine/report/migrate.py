"""Looks at a mesh for what its namespaces are ready for; changes nothing."""

from meshinstall.checks.policies.migration import Seen, migrate
from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.observe.plaintext import caller_facts
from meshinstall.engine.observe.policies import find_served
from meshinstall.engine.session import Session
from meshinstall.errors import ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.migration import Migration
from meshinstall.model.paths import object_path
from meshinstall.model.policy_kinds import POLICY_KINDS, SECURITY
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_KIND = (SECURITY, "AuthorizationPolicy")


async def plan_migration(desired: Desired, session: Session, days: int) -> Migration:
    """Both goals of each namespace, by what proxies counted and a Prometheus in the last ``days``. Raises UnreachableError."""
    async with explaining(session, desired):
        facts = await caller_facts(session, days, identities=True)
        policies, unseen = await _policies(session.kube)
    own = frozenset(policy_key(key_of(one.manifest)) for one in desired.layered or ())
    return migrate(Seen(facts, policies, unseen), desired.environment, own)


async def _policies(kube: Kube) -> tuple[tuple[Manifest, ...], str]:
    """All AuthorizationPolicies, or why they are not known."""
    try:
        served = await find_served(kube, {_KIND: POLICY_KINDS[_KIND]})
        paths = [object_path(version, POLICY_KINDS[_KIND].plural) for version in served.values()]
        return tuple([item for path in paths async for item in kube.list(path)]), ""
    except ForbiddenError as error:
        return (), error.message
