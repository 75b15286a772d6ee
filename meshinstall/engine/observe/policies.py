"""Reads the policies that files describe: each that is wanted, and those of ours in the cluster that no file has any more.

Requests: one for each version of Istio's groups and of the Gateway API, one list for each kind that is served, one for each wanted object
that is not among them, and one for each of their namespaces that the mesh does not have; where objects are wanted or some of ours are
there, three lists of what others made that may let more in.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import replace

from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.tasks import gather
from meshinstall.errors import ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, ObjectKey, PolicyFacts, key_of, policy_key
from meshinstall.model.ownership import LAYERED, MANAGED_BY, MANAGER, POLICY, is_ours
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.policy_kinds import ACCESS_KINDS, NETWORKING, POLICY_KINDS, SECURITY, PolicyKey, PolicyKind, group_of
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_OURS = f"{MANAGED_BY}={MANAGER},{POLICY}={LAYERED}"
_OPENING = frozenset({(SECURITY, "AuthorizationPolicy"), (SECURITY, "RequestAuthentication"), (NETWORKING, "EnvoyFilter")})

# Of each kind that is served, the version in which it is listed.
Served = Mapping[tuple[str, str], str]


async def with_policies(desired: Desired, facts: Facts, kube: Kube) -> Facts:
    """The facts, with the wanted policies and those that are left; where they may not be read, the reason."""
    wanted = [key_of(policy.manifest) for policy in desired.layered or ()]
    if facts.peers_denied and not wanted:
        # Whoever may not list one kind, and has no policies, is not refused the others in an audit log of every plan.
        return replace(facts, layered=PolicyFacts(unseen=facts.peers_unseen))
    try:
        there = await _versions(kube, POLICY_KINDS)
        served = _newest(there, POLICY_KINDS)
        ours = {policy_key(key): (key, item) async for key, item in _listed(kube, served, _OURS)}
        live: dict[ObjectKey, Manifest | None] = {key: ours[policy_key(key)][1] for key in wanted if policy_key(key) in ours}
        asked = [key for key in wanted if key not in live and (group_of(key.api_version), key.kind) in served]
        live |= await gather(asked, lambda key: kube.get(path_of(key)))
        others = await _others(kube, served, {policy_key(key) for key in wanted}) if wanted or ours else ()
    except ForbiddenError as error:
        return replace(facts, layered=PolicyFacts(unseen=error.message))
    kept = {policy_key(key) for key in (*wanted, *facts.policies)}
    found = PolicyFacts(
        left={key: item for name, (key, item) in ours.items() if name not in kept},
        unserved={key: served.get((group_of(key.api_version), key.kind), "") for key in wanted if not _is_served(key, there)},
        others=others,
        homeless=await _homeless({key.namespace for key in wanted} - facts.namespaces.keys(), kube),
    )
    return replace(facts, policies={**facts.policies, **dict.fromkeys(wanted), **live}, layered=found)


async def find_served(kube: Kube, kinds: Mapping[tuple[str, str], PolicyKind] = POLICY_KINDS) -> Served:
    """The newest version of each kind that is served: a list in one that is not would look empty. Raises ClusterError."""
    return _newest(await _versions(kube, kinds), kinds)


async def _versions(kube: Kube, kinds: Mapping[tuple[str, str], PolicyKind]) -> Mapping[str, frozenset[str]]:
    """The resources that each version serves."""
    versions = dict.fromkeys(f"{group}/{version}" for (group, _), kind in kinds.items() for version in kind.versions)
    answers = await gather(versions, lambda version: kube.get(f"/apis/{version}"))
    return {version: frozenset(names_of(answer)) for version, answer in answers.items() if answer}


def _is_served(key: ObjectKey, there: Mapping[str, frozenset[str]]) -> bool:
    return POLICY_KINDS[group_of(key.api_version), key.kind].plural in there.get(key.api_version, ())


def _newest(there: Mapping[str, frozenset[str]], kinds: Mapping[tuple[str, str], PolicyKind]) -> Served:
    found: dict[tuple[str, str], str] = {}
    for (group, name), kind in kinds.items():
        newest = next((one for version in kind.versions if kind.plural in there.get(one := f"{group}/{version}", ())), "")
        if newest:
            found[group, name] = newest
    return found


def names_of(answer: Manifest) -> Iterable[str]:
    """Plurals of the kinds that a version of a group serves."""
    return (text(at(one, "name")) for one in rows(at(answer, "resources")))


async def list_access_policies(kube: Kube) -> tuple[Manifest, ...]:
    """All policies of a cluster by which requests are allowed or denied, whoever made them; raises ClusterError."""
    kinds = {(SECURITY, kind): POLICY_KINDS[SECURITY, kind] for kind in ACCESS_KINDS}
    return tuple([item async for _, item in _listed(kube, await find_served(kube, kinds))])


async def _others(kube: Kube, served: Served, wanted: Collection[PolicyKey]) -> tuple[Manifest, ...]:
    """What is neither ours nor wanted, of the kinds by which somebody else may let more in."""
    kinds = {kind: version for kind, version in served.items() if kind in _OPENING}
    return tuple([item async for key, item in _listed(kube, kinds) if not is_ours(item) and policy_key(key) not in wanted])


async def _listed(kube: Kube, served: Served, labels: str = "") -> AsyncIterator[tuple[ObjectKey, Manifest]]:
    """Items of a list carry no apiVersion and kind."""

    async def listed(kind: tuple[str, str]) -> list[Manifest]:
        path = object_path(served[kind], POLICY_KINDS[kind].plural)
        return [item async for item in kube.list(path, labels=labels)]

    for kind, items in (await gather(served, listed)).items():
        for item in items:
            key = ObjectKey(served[kind], kind[1], item["metadata"].get("namespace", ""), item["metadata"]["name"])
            yield key, {**item, "apiVersion": key.api_version, "kind": key.kind}


async def _homeless(namespaces: Iterable[str], kube: Kube) -> frozenset[str]:
    found = await gather(namespaces, lambda name: kube.get(object_path("v1", "namespaces", name=name)))
    return frozenset(name for name, live in found.items() if live is None)
