"""Checks of namespace labels, revisions and PeerAuthentications."""

from collections.abc import Iterator, Mapping

from meshinstall.checks.control_plane.istiod import some
from meshinstall.checks.mtls.idle_policies import idle_policies
from meshinstall.checks.words import word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.health import HealthFacts, WebhookKind
from meshinstall.model.labels import INJECTION, MODE, REVISION
from meshinstall.model.mesh import NamespaceFacts


def labels(facts: HealthFacts) -> Iterator[Finding]:
    """No namespace asks for two things at once (istio: the injector's selectors; istioctl analyze IST0123 and its kin)."""
    for name, namespace in facts.mesh.namespaces.items():
        for detail, hint in _contradictions(name, namespace.labels):
            yield Finding("CHK012", Severity.WARNING, f"namespace {name} has contradictory labels", detail, f"Namespace {name}", hint=hint)


def _contradictions(name: str, found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    injection, revision, mode = found.get(INJECTION), found.get(REVISION), found.get(MODE)
    if injection and revision:
        detail = f"{INJECTION}={injection} has precedence over {REVISION}={revision}, so the revision is never used"
        yield detail, f"keep one: kubectl label namespace {word(name)} {INJECTION}-"
    if injection and injection not in {"enabled", "disabled"}:
        yield (
            f"{INJECTION}={injection} is not valid; the values are enabled and disabled",
            f"kubectl label --overwrite namespace {word(name)} {INJECTION}=enabled",
        )
    if mode == "ambient" and (injection == "enabled" or revision):
        yield (
            "it asks for sidecars and for ambient; ambient ignores pods with a sidecar",
            f"keep one: kubectl label namespace {word(name)} {MODE}-",
        )
    if "control-plane" in found and (injection == "enabled" or revision):
        detail = "the AKS admissions enforcer excludes namespaces with the label control-plane from webhooks, so nothing is injected"
        yield detail, f"kubectl label namespace {word(name)} control-plane-"


def revisions(facts: HealthFacts) -> Iterator[Finding]:
    """Each revision that a namespace or a pod asks for has an injector; without one nothing is injected, and nothing says so.

    Which revisions and tags there are is only known when all webhooks and istiods could be read.
    """
    if "webhooks" in facts.unread or "Deployment" in facts.mesh.unread:
        return
    known = {plane.revision or "default" for plane in facts.mesh.control_planes}
    for webhook in facts.webhooks:
        if webhook.kind is WebhookKind.MUTATING:
            known |= {*webhook.revisions, *([webhook.tag] if webhook.tag else ())}
    for name, namespace in facts.mesh.namespaces.items():
        wanted = namespace.labels.get(REVISION)
        if wanted and wanted not in known and not namespace.labels.get(INJECTION):
            yield _unknown_revision(
                f"namespace {name}",
                wanted,
                known,
                f"kubectl label --overwrite namespace {word(name)} {REVISION}={word(min(known, default='default'))}",
            )
    # Pods that are being deleted go with their proxy: those of before are there a while when a revision was removed after them.
    lost = [pod for pod in facts.mesh.pods if pod.revision and pod.revision not in known and not pod.ending]
    if lost:
        detail = some(f"{pod.place} ({pod.revision})" for pod in lost)
        hint = "restart them with a revision that exists: kubectl rollout restart deployment -n NAMESPACE"
        title = f"pods have the proxy of a revision that does not exist: {len(lost)}"
        yield Finding("CHK013", Severity.ERROR, title, detail, hint=hint)
    if not any(webhook.default for webhook in facts.webhooks) and (left := _by_injection(facts.mesh.namespaces)):
        title = "namespaces ask for injection, but no revision is the default"
        hint = "make a revision the default (chart istiod, revisionTags: [default]), or label them istio.io/rev"
        yield Finding("CHK013", Severity.ERROR, title, some(left), hint=hint)


def _by_injection(namespaces: Mapping[str, NamespaceFacts]) -> list[str]:
    return [name for name, namespace in namespaces.items() if namespace.labels.get(INJECTION) == "enabled"]


def _unknown_revision(who: str, wanted: str, known: set[str], hint: str) -> Finding:
    detail = f"existing revisions: {', '.join(sorted(known)) or 'none'}; its pods start without a proxy"
    return Finding("CHK013", Severity.ERROR, f"{who} asks for revision {wanted}, which does not exist", detail, who, hint=hint)


def policies(facts: HealthFacts) -> Iterator[Finding]:
    """Every PeerAuthentication has an effect, as verification judges it (checks/mtls/idle_policies.py)."""
    for one in idle_policies(facts.mesh):
        place = f"PeerAuthentication {one.policy.place}"
        part = "" if one.older else ", or a part of it,"
        yield Finding("CHK014", one.severity, f"{place}{part} has no effect", one.why, place, hint=one.fix)
