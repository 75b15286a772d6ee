"""Whose a mesh is, and who uses it: what must be agreed to by name before it is changed or removed."""

from collections.abc import Iterable, Iterator, Mapping

from meshinstall.checks.words import first
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, Users
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import ENVIRONMENT, is_ours, kept_by, made_by_us, recorded_environment
from meshinstall.model.plan import Action, Plan, ReleaseStep
from meshinstall.model.release import Component, Manifest, ReleaseRecord, ReleaseStatus
from meshinstall.model.status import Holder

ANOTHER_ENVIRONMENT, KEPT = "PRE016", "PRE017"
# What stops a run that would change nothing, too: the mesh is not this environment's to keep.
WHOSE = (ANOTHER_ENVIRONMENT, KEPT)
# How ``kept_by`` names an engine, and what its files are called.
_FORMATS = {"Argo CD": "argocd", "Flux": "flux"}
# Values that would be lost, and namespaces, that are spelled out.
_SHOWN = 5


def environment(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """That the mesh in the cluster is another environment's: what a run of ours wrote there says so."""
    found = {name: where for where, name in _environments(facts) if name != desired.environment}
    for name, where in sorted(found.items()):
        yield Finding(
            ANOTHER_ENVIRONMENT,
            Severity.ERROR,
            f"the mesh in this cluster is environment {name}, not {desired.environment}",
            "the values of one environment would replace those of the other",
            where,
            hint=f"check the context and --env; to make it {desired.environment}: --allow environment",
        )


def _environments(facts: Facts) -> Iterator[tuple[str, str]]:
    for key, record in facts.releases.items():
        if name := recorded_environment(record):
            yield f"release {key}", name
    for name, live in facts.namespaces.items():
        if live and is_ours(live) and (told := (live["metadata"].get("labels") or {}).get(ENVIRONMENT)):
            yield f"Namespace {name}", plain(told)


def owners(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Releases of somebody else, and meshes that a GitOps engine or an operator keeps."""
    engines: dict[str, str] = {}
    for kind, item in _marked(facts, plan.mesh_namespace):
        if engine := kept_by(item):
            engines.setdefault(engine, f"{kind} {item['metadata']['name']}")
    if engines:
        yield kept(engines)
        return
    steps = {step.release: step for step in plan.steps if isinstance(step, ReleaseStep)}
    for key, record in facts.releases.items():
        # When it fails, helm writes its own words over ours.
        if record.status is ReleaseStatus.DEPLOYED and not made_by_us(record) and key in steps:
            yield _taken_over(steps[key], record)


def kept(engines: Mapping[str, str]) -> Finding:
    """That GitOps engines or operators keep a mesh; ``engines`` maps each, as ``kept_by`` names it, to an object that it marked."""
    # The order in which a cluster answers is no order.
    engine, *others = sorted(engines)
    more = f"; so {'does' if len(others) == 1 else 'do'} {first(others, _SHOWN)}" if others else ""
    detail = f"it would undo what this run changes, or remove it{more}"
    hint = f"change {_source(engine)}; to take the mesh from it first: meshinstall hand-over meshinstall; allow it: --allow takeover"
    return Finding(KEPT, Severity.ERROR, f"this mesh is kept by {engine}", detail, engines[engine], hint=hint)


def _source(engine: str) -> str:
    """What is to be changed for an engine that reads Git, as ``kept_by`` names it; of any other it is its own values."""
    format_ = next((name for words, name in _FORMATS.items() if engine.startswith(words)), "")
    if not format_:
        return f"what {engine} reads"
    return f"the files, then run meshinstall render --format {format_}, and commit what it writes for {engine}"


def _taken_over(step: ReleaseStep, record: ReleaseRecord) -> Finding:
    title, name = f"release {step.release} was installed by helm, not by meshinstall", f"release {step.release}"
    if step.action is not Action.UPGRADE:
        return Finding(KEPT, Severity.INFO, title, "nothing of it changes", name)
    lost = [f"{change.path}={plain(change.before)}" for change in step.changes if not change.origin]
    detail = f"values that would be lost: {first(lost, _SHOWN)}" if lost else "no value of it would be lost"
    hint = "write what you want to keep into the environment's values, then: --allow takeover"
    return Finding(KEPT, Severity.ERROR, title, f"revision {record.revision}; {detail}", name, hint=hint)


def _marked(facts: Facts, namespace: str) -> Iterator[tuple[str, Manifest]]:
    """What an engine may have marked; a control plane elsewhere is another mesh."""
    yield from (("Deployment", plane) for plane in facts.control_planes if plane["metadata"]["namespace"] == namespace)
    yield from ((key.kind, live) for key, live in facts.live.items())
    yield from (("CustomResourceDefinition", crd) for crd in facts.crds.values())


def revision(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """That the revision of a running istiod would change in place: its Deployment would go, and with it the injection by its labels."""
    for release in desired.releases:
        record = facts.releases.get(release.key)
        if release.component is Component.ISTIOD and record:
            before, after = (str(values.get("revision") or "default") for values in (record.values, release.values.merged()))
            if before != after:
                yield Finding(
                    "PRE015",
                    Severity.ERROR,
                    f"the revision of {release.key} would change from {before} to {after} in place",
                    "its istiod would be removed, and namespaces and pods with the labels of the old revision would get no proxy",
                    f"release {release.key}",
                    str(release.values.origin(("revision",))) if after != "default" else "",
                    "a new revision is an upgrade beside the old one; keep the revision of this release",
                )


def at_work(records: Iterable[ReleaseRecord]) -> Iterator[Finding]:
    """That somebody else's helm may be at work at a release, which two at once would break."""
    for record in records:
        yield Finding(
            "PRE027",
            Severity.ERROR,
            f"another helm may be at work at release {record.key}: revision {record.revision} is {record.status}",
            f"it began at {plain(record.updated)}, and no run of meshinstall left it behind",
            f"release {record.key}",
            hint="wait until it ends (helm status), or ten minutes; if that helm is dead: --allow at-work",
        )


def other_run(found: Holder | None) -> Iterator[Finding]:
    """That another run is at work on this mesh, or may be: what it changes is not in this plan."""
    if found:
        does = "is at work on this mesh" if found.is_alive else "holds the lock of this mesh, and may be at work"
        title = f"another run {does}: {found.who} since {found.since}"
        hint = "wait until it ends (meshinstall status), then plan again; up refuses to run beside it"
        yield Finding("PRE028", Severity.WARNING, title, found.what, hint=hint)


def strict(found: Users | None, refused: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Whom STRICT would cut off when it comes to a mesh in use; ``refused`` is what the mesh itself tells of them."""
    if found is None:
        hint = "plan with an account that may list pods in all namespaces"
        yield Finding("PRE024", Severity.WARNING, "STRICT comes to this mesh, and it is not known who is in it", hint=hint)
    elif found.all_proxied:
        title = f"STRICT comes to a mesh in use: {counted(found.all_proxied)}"
        beside = f"pods without a proxy, which can then no longer call them: {_named(found.plain)}" if found.plain else ""
        detail = "; ".join((beside or "every pod outside kube-system has a proxy", *refused))
        hint = "see who calls in plaintext: meshinstall verify --callers --watch 5m; when nobody does, or it may be: --allow strict"
        yield Finding("PRE024", Severity.ERROR, title, detail, hint=hint)


def strict_already(found: Users) -> Iterator[Finding]:
    """That everybody in the mesh has STRICT by a policy of their own before it comes to the whole mesh."""
    detail = f"each of them is STRICT already, by policies of the namespaces or workloads: {counted(found.all_proxied)}"
    yield Finding("PRE024", Severity.INFO, "STRICT comes to the whole mesh, and changes nothing for who is in it", detail)


def in_use(plan: Plan, found: Users | None) -> Iterator[Finding]:
    """Who loses the control plane that a removal takes away; ``found`` is None when that could not be listed."""
    if not any(isinstance(step, ReleaseStep) and step.component is Component.ISTIOD for step in plan.pending):
        return
    if found is None:
        hint = "look at them: kubectl get pods -A -l security.istio.io/tlsMode=istio; allow it: --allow in-use"
        yield Finding("PRE023", Severity.ERROR, "it is not known whether proxies use this control plane", hint=hint)
    elif found.proxied:
        detail = "they keep their configuration, but their certificates end within a day, and new pods come without a proxy"
        hint = "move them to another control plane, or remove them; allow it: --allow in-use"
        yield Finding("PRE023", Severity.ERROR, f"this control plane is in use: {counted(found.proxied)}", detail, hint=hint)


def counted(by_namespace: Mapping[str, int]) -> str:
    """``3 proxies, by namespace: shop (2), pay (1)``."""
    count = sum(by_namespace.values())
    return f"{count} {'proxy' if count == 1 else 'proxies'}, by namespace: {_named(by_namespace)}"


def _named(by_namespace: Mapping[str, int]) -> str:
    """Names with the most first."""
    ordered = sorted(by_namespace.items(), key=lambda one: (-one[1], one[0]))
    return first([f"{plain(name)} ({number})" for name, number in ordered], _SHOWN)
