"""Looks at a mesh to which a plan brings DestinationRules: what they would make clients do."""

from collections.abc import Sequence

import anyio

from meshinstall.checks.mtls.planned_rules import PlannedRule, rule_findings, unknown
from meshinstall.engine.mesh.kube_objects import client_rule
from meshinstall.engine.mesh.survey import survey
from meshinstall.engine.objects.json_fields import at, rows, text, texts
from meshinstall.engine.session import Session
from meshinstall.model.desired import Desired
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.finding import Finding
from meshinstall.model.mesh import Place
from meshinstall.model.plan import Action, ObjectStep
from meshinstall.model.release import Manifest

# Seconds for the whole mesh.
_PATIENCE = 60.0
# When an object was made that is not there yet: after all others.
_LAST = "9999-12-31T00:00:00Z"


async def planned_rule_findings(steps: Sequence[ObjectStep], desired: Desired, session: Session) -> tuple[Finding, ...]:
    """What is found of DestinationRules, of which these are the steps.

    Raises UnreachableError when the API server is not there.
    """
    origins = {policy_key(key_of(policy.manifest)): str(policy.origin) for policy in desired.layered or ()}
    written = [step.manifest for step in steps if step.action is not Action.DELETE]
    planned = [_planned(manifest, origins.get(policy_key(key_of(manifest)), "")) for manifest in written]
    metadata = [step.manifest["metadata"] for step in steps if step.action is Action.DELETE]
    gone = {Place(one["namespace"], one["name"]) for one in metadata}
    entries = [one.manifest for one in desired.layered or () if key_of(one.manifest).kind == "ServiceEntry"]
    hosts = frozenset(text(host) for entry in entries for host in rows(at(entry, "spec", "hosts")))
    with anyio.move_on_after(_PATIENCE):
        return tuple(rule_findings(await survey(session, ()), planned, gone, hosts))
    return (unknown((step.name for step in steps), "the mesh could not be read in time"),)


def _planned(manifest: Manifest, origin: str) -> PlannedRule:
    made = {**manifest, "metadata": {**manifest["metadata"], "creationTimestamp": _LAST}}
    subsets = {text(at(one, "name")): texts(at(one, "labels")) for one in rows(at(manifest, "spec", "subsets"))}
    return PlannedRule(client_rule(made), subsets, origin)
