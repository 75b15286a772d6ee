"""Reads what a restore has to know of the cluster: the objects that it would make, what else of Istio is there, and a CA.

Requests: those that find the versions served, one list for each kind of Istio's and of the Gateway API, one list of namespaces, and the two
Secrets that may hold a CA. Whatever a restore may not see it does not make: a missing right is an error.
"""

from collections.abc import Iterable
from dataclasses import replace

from meshinstall.config.crd_schemas import Schemas, read_schemas
from meshinstall.engine.mesh.ca_objects import ca_of
from meshinstall.engine.observe.policies import Served, find_served, names_of
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError, SnapshotError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, ObjectKey, key_of, policy_key
from meshinstall.model.istio import CA_SECRETS
from meshinstall.model.ownership import is_ours
from meshinstall.model.paths import object_path
from meshinstall.model.policy_kinds import GATEWAY_API, SECURITY, PolicyKey, group_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.release import Component, Manifest
from meshinstall.model.restoring import KeptObject, Restoration, RestorationFacts
from meshinstall.model.snapshot_objects import SNAPSHOT_KINDS
from meshinstall.ports import Kube


async def with_restoration(desired: Desired, facts: Facts, session: Session) -> Facts:
    """The facts, with what there is of the objects and namespaces of a snapshot; raises ClusterError and ChartError."""
    wanted = desired.restored
    if wanted is None:
        return facts
    served = await find_served(session.kube, SNAPSHOT_KINDS)
    named = {policy_key(key_of(one.manifest)): key_of(one.manifest) for one in wanted.objects}
    known = {*named, *(policy_key(key_of(one.manifest)) for one in wanted.kept), *(policy_key(key) for key in facts.policies)}
    live: dict[ObjectKey, Manifest | None] = dict.fromkeys(named.values())
    missing = {policy_key(key_of(one.manifest)): one for one in wanted.kept if group_of(str(one.manifest["apiVersion"])) == SECURITY}
    lost = {name.replace("/", " ", 1) for name in wanted.lost}
    strangers: list[str] = []
    for kind, items in (await gather(served, lambda one: _all(session.kube, one, served))).items():
        for item in items:
            key = _key(kind, item)
            missing.pop(key, None)
            lost.discard(str(key))
            if key in named:
                live[named[key]] = item
            elif key not in known and kind[0] != GATEWAY_API and not is_ours(item):
                strangers.append(str(key))
    spaces = {item["metadata"]["name"]: item async for item in session.kube.list(object_path("v1", "namespaces"))}
    names = desired.restored_namespaces
    found = RestorationFacts(
        strangers=tuple(sorted(strangers)),
        missing={**dict.fromkeys(lost, "nobody, as it holds a secret"), **{str(one): one.keeper for one in missing.values()}},
        unserved=tuple(sorted(await _unserved(wanted, session.kube))),
        refused=await _refused(wanted, desired, facts, session),
    )
    return replace(
        facts,
        policies={**facts.policies, **live},
        namespaces={**facts.namespaces, **{name: spaces.get(name) for name in names}},
        restored=await _with_ca(found, desired.mesh_namespace, session),
    )


async def find_foreign(kube: Kube) -> list[PolicyKey]:
    """Istio's objects that no run made of a file; raises ClusterError."""
    served = await find_served(kube, SNAPSHOT_KINDS)
    found = await gather([kind for kind in served if kind[0] != GATEWAY_API], lambda kind: _all(kube, kind, served))
    return [_key(kind, item) for kind, items in found.items() for item in items if not is_ours(item)]


def _key(kind: tuple[str, str], item: Manifest) -> PolicyKey:
    return PolicyKey(*kind, item["metadata"].get("namespace", ""), item["metadata"]["name"])


async def _all(kube: Kube, kind: tuple[str, str], served: Served) -> list[Manifest]:
    """Items of a list carry no apiVersion and kind."""
    path = object_path(served[kind], SNAPSHOT_KINDS[kind].plural)
    return [{**item, "apiVersion": served[kind], "kind": kind[1]} async for item in kube.list(path)]


async def _unserved(wanted: Restoration, kube: Kube) -> set[str]:
    """Kinds that no chart of Istio's brings, each with the version that an object has and the cluster does not serve."""
    types = {(str(one.manifest["apiVersion"]), str(one.manifest["kind"])) for one in wanted.objects}
    asked = {(version, kind) for version, kind in types if group_of(version) == GATEWAY_API}
    answers = await gather({version for version, _ in asked}, lambda version: kube.get(f"/apis/{version}"))
    there = {version: set(names_of(answer)) for version, answer in answers.items() if answer}
    return {
        f"{kind} {version.rpartition('/')[2]}"
        for version, kind in asked
        if SNAPSHOT_KINDS[GATEWAY_API, kind].plural not in there.get(version, ())
    }


async def _refused(wanted: Restoration, desired: Desired, facts: Facts, session: Session) -> dict[str, str]:
    """Objects that break the schemas of the Istio that is to be installed, each with the first reason."""
    base = next((release for release in desired.releases if release.component is Component.BASE), None)
    if base is None:
        return {}
    schemas = read_schemas((await session.charts.read(facts.charts.get(base.chart.name, base.chart))).definitions)
    return dict(_problems(wanted.objects, schemas))


def _problems(objects: Iterable[KeptObject], schemas: Schemas) -> Iterable[tuple[str, str]]:
    for one in objects:
        problem = next(schemas.problems(PolicyObject(one.origin.source, one.manifest, {})), None)
        if problem is not None:
            yield str(one), problem.text


async def _with_ca(found: RestorationFacts, namespace: str, session: Session) -> RestorationFacts:
    """Which CA istiod would find: the user's own goes first."""
    try:
        for name in CA_SECRETS:
            if secret := await session.kube.get(object_path("v1", "secrets", namespace, name)):
                return replace(found, ca_secret=name, ca=ca_fingerprints(secret, session))
    except (ClusterError, ValueError) as error:
        return replace(found, ca_unread=str(error))
    return found


def opened_ca(secret: Manifest, expected: tuple[str, ...], session: Session) -> tuple[str, ...]:
    """The fingerprints of the CA that was sealed; raises SnapshotError where it is not the one that the snapshot names."""
    try:
        found = ca_fingerprints(secret, session)
    except (ClusterError, ValueError):
        found = ()
    if not found or (expected and set(found) != set(expected)):
        raise SnapshotError("what is sealed in the snapshot is not the CA that mesh.json names", "take another copy of the snapshot")
    return found


def ca_fingerprints(secret: Manifest, session: Session) -> tuple[str, ...]:
    """SHA-256 of the certificates in the Secret of a CA, sorted; raises ClusterError and ValueError."""
    chain = ca_of(secret).chain
    return tuple(sorted({one.fingerprint for one in session.certificates.read_roots(chain)})) if chain.strip() else ()
