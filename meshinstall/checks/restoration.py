"""Whether a mesh can be made of a snapshot here: the cluster is empty of Istio, the trust comes along, and nothing is wider than it was."""

from collections.abc import Iterator, Mapping

from meshinstall.checks.words import first, word
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, policy_key
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.labels import INJECTION, REVISION
from meshinstall.model.ownership import RESTORED
from meshinstall.model.release import ReleaseStatus
from meshinstall.model.restoring import Restoration, RestorationFacts
from meshinstall.model.revision import DEFAULT_REVISION
from meshinstall.model.snapshot_objects import mesh_labels

_SHOWN = 5
# Of a fingerprint: as many as people compare.
_DIGITS = 12


def restoration(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """What stops a restore before its first write; nothing for any other run."""
    wanted, found = desired.restored, facts.restored
    if wanted is None or found is None:
        return
    yield from _occupied(wanted, found, desired, facts)
    yield from _trust(wanted, found, desired.mesh_namespace)
    yield from _refused(wanted, found)
    yield from _going(facts)
    yield from _labels(wanted, desired, facts)
    yield from _revisions(wanted, desired)
    yield from _kept(wanted, found)


def _occupied(wanted: Restoration, found: RestorationFacts, desired: Desired, facts: Facts) -> Iterator[Finding]:
    """What a killed restore of the same snapshot left is what this one goes on with."""
    home = facts.namespaces.get(desired.mesh_namespace)
    if home and (home["metadata"].get("labels") or {}).get(RESTORED) == wanted.mark:
        return
    planes = [f"Deployment {plane['metadata']['namespace']}/{plane['metadata']['name']}" for plane in facts.control_planes]
    releases = [f"release {key}" for key, record in facts.releases.items() if record.status is not ReleaseStatus.UNINSTALLED]
    there = [plain(one) for one in (*planes, *releases, *found.strangers, *(_would_go(facts) if wanted.is_drill else ()))]
    if there:
        title = f"the cluster is not empty of Istio, and a {'drill' if wanted.is_drill else 'restore'} needs one that is"
        beside = "" if wanted.is_drill else "; or continue beside what is there: --allow occupied"
        hint = f"choose the right cluster; meshinstall down removes a mesh, with --crds its CRDs, too{beside}"
        yield Finding("PRE061", Severity.ERROR, title, f"there are {first(there, _SHOWN)}", hint=hint)


def _would_go(facts: Facts) -> Iterator[str]:
    """What a drill would take down though it was there before: the same objects, as of one repository, and CRDs with all in them."""
    yield from sorted(str(policy_key(key)) for key, live in facts.policies.items() if live is not None)
    yield from (f"CRD {name}" for name in sorted(facts.crds))


def _trust(wanted: Restoration, found: RestorationFacts, namespace: str) -> Iterator[Finding]:
    where = f"Secret {namespace}/{found.ca_secret}"
    if wanted.opened and found.ca and set(wanted.opened) != set(found.ca):
        title = f"{where} holds another CA than the snapshot"
        hint = "delete it, if no proxy goes by it; or sign with it: leave out --identity, and --allow new-root"
        yield Finding("PRE059", Severity.ERROR, title, f"it has {_short(found.ca)}, the snapshot {_short(wanted.opened)}", where, hint=hint)
        return
    if found.ca_unread:
        title = "whether a CA is there already could not be read"
        yield Finding(
            "PRE059", Severity.WARNING, title, plain(found.ca_unread), hint="allow to get the Secrets cacerts and istio-ca-secret"
        )
    if wanted.roots and not set(wanted.roots) & {*wanted.opened, *found.ca}:
        yield _another_root(wanted, found, where)


def _another_root(wanted: Restoration, found: RestorationFacts, where: str) -> Finding:
    signs = f"istiod would sign with {where}" if found.ca else "istiod would make a CA of its own"
    detail = (
        f"workloads trusted {_short(wanted.roots)}; {signs}. Certificates of before, virtual machines and other clusters of the mesh"
        " are refused then"
    )
    bring = (
        "open the CA in the snapshot with its private key: --identity FILE"
        if wanted.sealed
        else "the snapshot does not hold the CA: put its Secret back first"
    )
    hint = f"{bring}; or accept another root: --allow new-root"
    return Finding("PRE059", Severity.ERROR, "the mesh would get another root than the snapshot's", detail, hint=hint)


def _refused(wanted: Restoration, found: RestorationFacts) -> Iterator[Finding]:
    origins = {str(one): one for one in wanted.objects}
    for name, why in sorted(found.refused.items()):
        hint = f"restore it in its own Istio and correct it, or leave it out: --leave-out {plain(origins[name].name)}"
        title = f"this Istio would refuse {plain(name)}"
        yield Finding("PRE062", Severity.ERROR, title, plain(why), plain(name), str(origins[name].origin), hint)
    for kind in found.unserved:
        title = f"the cluster has no kind {kind} of the Gateway API"
        hint = "install the CRDs of the Gateway API first, in a version that has this kind"
        yield Finding("PRE062", Severity.ERROR, title, "", kind, hint=hint)


def _going(facts: Facts) -> Iterator[Finding]:
    """The API server makes nothing in such a namespace, and it may take as long as whoever holds it."""
    for name, live in sorted(facts.namespaces.items()):
        if live and "deletionTimestamp" in live["metadata"]:
            title = f"namespace {name} is being deleted, and nothing can be made in it"
            hint = f"wait until it is gone; kubectl get namespace {name} -o yaml says what it waits for"
            yield Finding("PRE062", Severity.ERROR, title, "", f"Namespace {name}", hint=hint)


def _labels(wanted: Restoration, desired: Desired, facts: Facts) -> Iterator[Finding]:
    """A label too many decides as well: ``istio-injection`` goes before a revision."""
    for name in sorted(wanted.namespaces):
        live, labels = facts.namespaces.get(name), desired.restored_labels(name)
        there = mesh_labels(live["metadata"].get("labels") or {}) if live else {}
        other = sorted(key for key, value in there.items() if labels.get(key) != value)
        if other:
            detail = "; ".join(f"{plain(key)} is {plain(there[key])}, and was {labels.get(key, 'not there')}" for key in other)
            hint = f"kubectl label namespace {name} {' '.join(word(f'{key}-') for key in other)}, if they are not meant"
            yield Finding("PRE063", Severity.ERROR, f"namespace {name} is there with other labels", detail, f"Namespace {name}", hint=hint)


def unserved(labels: Mapping[str, str], desired: Desired) -> str:
    """The revision that labels of a namespace or an object name, where no istiod of this mesh is of it; empty otherwise."""
    revision = "" if INJECTION in labels else labels.get(REVISION, "")
    return "" if revision in {"", desired.revision or DEFAULT_REVISION, *desired.tags} else revision


def _revisions(wanted: Restoration, desired: Desired) -> Iterator[Finding]:
    """Such as after a restore in another minor: no pod would get a proxy there, and istiod would ignore the policy."""
    named = [(f"namespace {name}", desired.restored_labels(name)) for name in sorted(wanted.namespaces)]
    named += [(str(one), one.manifest["metadata"].get("labels") or {}) for one in wanted.objects]
    found = [f"{plain(name)} ({plain(revision)})" for name, labels in named if (revision := unserved(labels, desired))]
    if found:
        title = f"{len(found)} namespaces or objects name a revision that this mesh has not"
        hint = "restore the snapshot in its own version of Istio, or give this one a tag of that name; otherwise no pod there gets a proxy"
        yield Finding("PRE063", Severity.WARNING, title, first(found, _SHOWN), hint=hint)


def _kept(wanted: Restoration, found: RestorationFacts) -> Iterator[Finding]:
    """A route without its policy would be wider than it was."""
    if not found.missing or not wanted.objects:
        return
    names = first([f"{plain(name)} of {plain(keeper)}" for name, keeper in sorted(found.missing.items())], _SHOWN)
    title = "policies that this run does not make are not there, and what the snapshot restores would be reachable without them"
    hint = "restore them too, as they were kept: --include-kept; or continue without them: --allow kept-policies"
    yield Finding("PRE064", Severity.ERROR, title, names, hint=hint)


def _short(fingerprints: tuple[str, ...]) -> str:
    return first(sorted(one[:_DIGITS] for one in fingerprints), 3)
