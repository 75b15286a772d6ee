"""Checks of istiod, its webhooks and what it sends to proxies."""

from collections.abc import Iterable, Iterator, Mapping

from meshinstall import catalog
from meshinstall.checks.control_plane.webhook_fixes import webhook_fix
from meshinstall.checks.words import first, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.health import HealthFacts, WebhookKind
from meshinstall.model.istio import ISTIOD_CONTAINER, VOUCHING_KINDS
from meshinstall.model.mesh import ControlPlane, MeshFacts, Place, SyncState

# Names of objects that one finding spells out.
_SHOWN = 5
# Share of the memory limit above which a push of a large configuration may be the last.
_HIGH = 0.9
_BEHIND = frozenset({SyncState.STALE, SyncState.REJECTED})
# Minor versions between two majors: more than any rule allows.
_MANY = 99


def presence(facts: HealthFacts) -> Iterator[Finding]:
    """There is an istiod."""
    if not facts.mesh.control_planes and not {*VOUCHING_KINDS, "Service", "Deployment"} & {*facts.mesh.unread}:
        hint = "install one: meshinstall up --cloud local --env dev"
        detail = f"no webhook configuration of Istio leads to a Deployment with a container {ISTIOD_CONTAINER}"
        home = facts.mesh.namespaces.get(catalog.MESH_NAMESPACE)
        if home and home.ending:
            detail = f"namespace {home.name} is being deleted, and nothing can be created in it; {detail}"
            held = f"kubectl get namespace {home.name} -o jsonpath='{{.status.conditions[*].message}}'"
            hint = f"see what holds it: {held}; when it is gone, {hint}"
        yield Finding("CHK001", Severity.ERROR, "the cluster has no istiod", detail, hint=hint)


def webhook_path(facts: HealthFacts) -> Iterator[Finding]:
    """Istiod answered when the API server called it (dry-run requests: engine/mesh/webhook_answers.py)."""
    for namespace, trouble in facts.webhook_trouble.items():
        if trouble:
            hint = webhook_fix(trouble, namespace, None if "webhooks" in facts.unread else facts.webhooks)
            yield Finding("CHK002", Severity.ERROR, "istiod's webhooks do not answer the API server", trouble, namespace, hint=hint)


def webhook_roots(facts: HealthFacts) -> Iterator[Finding]:
    """Each caBundle holds a root that istiod's own chain ends in, or its calls fail."""
    known = {certificate.fingerprint for certificate in facts.mesh.authorities} | {
        certificate.root for certificate in facts.mesh.authorities if certificate.root
    }
    if not known:
        return
    for webhook in facts.webhooks:
        if webhook.service and not known & set(webhook.roots):
            title = (
                f"webhook {webhook.name} trusts a CA that is not istiod's" if webhook.roots else f"webhook {webhook.name} has no caBundle"
            )
            namespace, name = webhook.service
            hint = f"istiod writes its caBundle when it starts: kubectl -n {word(namespace)} rollout restart {word(f'deployment/{name}')}"
            place = f"{webhook.kind} {webhook.configuration}"
            yield Finding("CHK003", Severity.ERROR, title, "the API server refuses istiod's certificate", place, hint=hint)


def failure_policy(facts: HealthFacts) -> Iterator[Finding]:
    """The validating webhook ends at Fail; istiod sets it once it is ready (istio: pkg/webhooks/validation/controller)."""
    validating = [webhook for webhook in facts.webhooks if webhook.kind is WebhookKind.VALIDATING]
    if not validating and facts.mesh.control_planes and "webhooks" not in facts.unread:
        hint = "run meshinstall up, which creates it again"
        yield Finding(
            "CHK004", Severity.ERROR, "Istio's validating webhook does not exist", "invalid configuration reaches the proxies", hint=hint
        )
    for webhook in validating:
        if webhook.failure_policy != "Fail":
            title = f"webhook {webhook.name} accepts every object when istiod does not answer"
            detail = f"failurePolicy is {webhook.failure_policy or 'not set'}; istiod sets it to Fail when it is ready"
            hint = f"find why it did not: kubectl -n {word(_home(webhook.service))} logs deploy/istiod | grep -i validat"
            yield Finding("CHK004", Severity.WARNING, title, detail, f"{webhook.kind} {webhook.configuration}", hint=hint)


def tags(facts: HealthFacts) -> Iterator[Finding]:
    """Every injector's revision has an istiod; a tag that outlives its revision injects nothing."""
    revisions = {plane.revision for plane in facts.mesh.control_planes}
    for webhook in facts.webhooks:
        if webhook.kind is WebhookKind.MUTATING and webhook.revision and webhook.revision not in revisions:
            what = f"tag {webhook.tag}" if webhook.tag else f"injector {webhook.configuration}"
            title = f"{what} points to revision {webhook.revision}, which has no istiod"
            detail = f"existing revisions: {', '.join(sorted(revisions)) or 'none'}"
            hint = f"kubectl delete {webhook.kind.lower()} {word(webhook.configuration)}"
            yield Finding("CHK005", Severity.ERROR, title, detail, f"{webhook.kind} {webhook.configuration}", hint=hint)


def versions(facts: HealthFacts) -> Iterator[Finding]:
    """A proxy may be one minor behind its istiod and never ahead (istio.io: Supported releases, control plane/data plane skew)."""
    planes = _planes(facts.mesh)
    ahead, behind, older = list[str](), list[str](), list[str]()
    for pod in facts.mesh.pods:
        plane, proxy = planes.get(pod.revision or "default"), facts.mesh.proxies.get(pod.place)
        if plane is None or proxy is None or not proxy.version:
            continue
        steps = _minors(plane.version, proxy.version)
        named = f"{pod.place} ({proxy.version})"
        if steps is None or (steps == 0 and plane.version == proxy.version):
            continue
        (ahead if steps < 0 else behind if steps > 1 else older).append(named)
    if ahead:
        hint = "upgrade the control plane first, then restart the workloads"
        yield Finding("CHK006", Severity.ERROR, f"{_count(ahead)} newer than the control plane", some(ahead), hint=hint)
    if behind:
        hint = "restart the workloads to give them the new proxy: kubectl rollout restart deployment -n NAMESPACE"
        yield Finding("CHK006", Severity.WARNING, f"{_count(behind)} two minor versions or more behind", some(behind), hint=hint)
    if older:
        hint = "restart the workloads to give them the control plane's version: kubectl rollout restart deployment -n NAMESPACE"
        yield Finding("CHK006", Severity.INFO, f"{_count(older)} older than the control plane", some(older), hint=hint)


def sync(facts: HealthFacts) -> Iterator[Finding]:
    """Every proxy acknowledges what istiod sends; one that is just being updated is not behind."""
    stale = [f"{place} ({proxy.sync_words or proxy.sync})" for place, proxy in facts.mesh.proxies.items() if proxy.sync in _BEHIND]
    if stale:
        hint = "find what a proxy rejects: istioctl proxy-status; kubectl logs POD -c istio-proxy"
        yield Finding(
            "CHK007", Severity.WARNING, f"{_count(stale)} missing the configuration that istiod last sent", some(stale), hint=hint
        )


def usage(facts: HealthFacts) -> Iterator[Finding]:
    """Istiod stays within what it asked for, and well below its limit."""
    for one in facts.usage:
        if one.used is None:
            continue
        if one.limit and one.used > one.limit * _HIGH:
            title = f"{one.pod} uses {_mebibytes(one.used)} of a memory limit of {_mebibytes(one.limit)}"
            hint = "raise istiod.resources.limits.memory before the container is killed"
            yield Finding(
                "CHK008",
                Severity.ERROR,
                title,
                "a larger configuration would exceed the limit, and the container would be killed",
                str(one.pod),
                hint=hint,
            )
        elif one.requested and one.used > one.requested:
            title = f"{one.pod} uses {_mebibytes(one.used)} and requests {_mebibytes(one.requested)}"
            hint = "raise istiod.resources.requests.memory: a full node evicts pods first that use more than they request"
            yield Finding("CHK008", Severity.WARNING, title, object=str(one.pod), hint=hint)


def _planes(mesh: MeshFacts) -> Mapping[str, ControlPlane]:
    return {plane.revision or "default": plane for plane in mesh.control_planes}


def _minors(plane: str, proxy: str) -> int | None:
    """How many minor versions the proxy is behind; negative when it is ahead, also by a patch; None when a version is none."""
    from packaging.version import InvalidVersion, Version

    try:
        ours, theirs = Version(plane), Version(proxy)
    except InvalidVersion:
        return None
    if theirs > ours:
        return -1
    return ours.minor - theirs.minor if ours.major == theirs.major else _MANY


def _count(names: list[str]) -> str:
    return f"{len(names)} {'proxies are' if len(names) > 1 else 'proxy is'}"


def some(names: Iterable[str]) -> str:
    """The first five names, and how many more there are."""
    return first(sorted(names), _SHOWN)


def _home(place: Place | None) -> str:
    return place.namespace if place else catalog.MESH_NAMESPACE


def _mebibytes(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"
