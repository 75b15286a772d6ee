"""What stops an upgrade, or is to be known before it; pure. Each code has a section in docs/checks.md."""

from collections.abc import Iterator

from meshinstall import catalog
from meshinstall.catalog.upgrades import (
    GATEWAY_REVISION_FIX,
    GATEWAY_ROUTES,
    KNOWN_BAD,
    PROXY_MINORS_BEHIND,
    SECURITY_FIXES,
    SERVER_SIDE_APPLY_FIX,
    TABLE_DATE,
    Fix,
    notes_source,
)
from meshinstall.checks.ownership import kept
from meshinstall.checks.words import first
from meshinstall.engine.upgrade.changes import unknown_lines
from meshinstall.engine.upgrade.strategy import goes
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import Carrier, MeshPosition
from meshinstall.model.upgrade import Strategy, Way

# Objects that are named.
_SHOWN = 5
# Before this one TLSRoutes and ReferenceGrants are not read as v1 (catalog/upgrades.py, NOTES of 1.30).
_GATEWAY_API_V1 = (1, 5)


def of_target(position: MeshPosition, target: IstioVersion, lines: tuple[str, ...]) -> Iterator[Finding]:
    """What is known of the target against what runs; ``lines`` are the minors that are entered."""
    yield from _fixes(position, target)
    if bad := KNOWN_BAD.get(str(target)):
        title = f"Istio {target} has a known fault: {bad.what} ({bad.issue})"
        hint = f"take {bad.fixed} or newer, or allow it: --allow missing-fix"
        yield Finding("PRE038", Severity.ERROR, title, hint=hint)
    if position.helm.startswith("4.") and SERVER_SIDE_APPLY_FIX.is_in(target) is False:
        title = f"with Istio {target}, {SERVER_SIDE_APPLY_FIX.what}"
        hint = f"take {SERVER_SIDE_APPLY_FIX.releases}, or helm 3"
        yield Finding("PRE038", Severity.WARNING, title, f"helm is {position.helm}", hint=hint)
    for line in unknown_lines(lines):
        title = f"changes of {line} are unknown to this meshinstall"
        hint = f"read its upgrade notes: {notes_source(line)}"
        yield Finding("PRE046", Severity.WARNING, title, f"the tables are of {TABLE_DATE}", hint=hint)
    yield from _gateway_api(position, target)


def of_mesh(position: MeshPosition, strategy: Strategy) -> Iterator[Finding]:
    """What of the mesh as it is does not fit the strategy."""
    yield from who_keeps(position)
    yield from _leads_nowhere(position, strategy)
    yield from _skew(position)
    if strategy.way is Way.CANARY:
        yield from _names_old(position, strategy)
        yield from _gateways(position)
    unknown = [one.name for one in position.proxied if any(proxies.version is None for proxies in one.proxies)]
    if unknown:
        title = f"cannot tell the version of proxies, whose image does not name one: {first(unknown, _SHOWN)}"
        yield Finding("PRE047", Severity.WARNING, title, "they count as old, and are restarted")
    for gap in position.gaps:
        yield Finding("PRE047", Severity.WARNING, f"the plan may miss something: {gap}")


def who_keeps(position: MeshPosition) -> Iterator[Finding]:
    """That a GitOps engine keeps an istiod of the mesh, or a gateway of ours."""
    marked = [(plane.kept_by, f"Deployment {plane.place}") for plane in position.planes]
    marked += [(one.kept_by, one.name) for one in position.proxied if one.release]
    engines: dict[str, str] = {}
    for engine, name in marked:
        if engine:
            engines.setdefault(engine, name)
    if engines:
        yield kept(engines)


def _fixes(position: MeshPosition, target: IstioVersion) -> Iterator[Finding]:
    """Fixes that an istiod of the mesh has, and that the target lacks, or may lack."""
    running = [plane.version for plane in position.planes if plane.version]
    has = [fix for fix in SECURITY_FIXES if any(fix.is_in(version) for version in running)]
    # In the middle of an upgrade the target runs too, beside the one that has them.
    newest = max(
        (version for version in running if any(fix.is_in(version) for fix in SECURITY_FIXES) and version != target), default=target
    )
    if lacking := [fix for fix in has if fix.is_in(target) is False]:
        title = f"Istio {target} lacks {_count(lacking)} that {newest} has"
        first_with_all = max(fix.patches[target.line] for fix in lacking)
        hint = f"take {target.line}.{first_with_all} or newer, or allow it: --allow missing-fix"
        yield Finding("PRE038", Severity.ERROR, title, _told(lacking), hint=hint)
    if unknown := [fix for fix in has if fix.is_in(target) is None]:
        title = f"cannot tell whether Istio {target} has {_count(unknown)} that {newest} has"
        yield Finding("PRE038", Severity.WARNING, title, _told(unknown), hint="read the release notes of the target's patches")


def _told(fixes: list[Fix]) -> str:
    return "; ".join(f"{fix.what}, fixed in {fix.releases}" for fix in fixes)


def _count(fixes: list[Fix]) -> str:
    return "a security fix" if len(fixes) == 1 else f"{len(fixes)} security fixes"


def _gateway_api(position: MeshPosition, target: IstioVersion) -> Iterator[Finding]:
    wanted, found = catalog.GATEWAY_API.get(target.line), _minor(position.gateway_api)
    if not wanted or not position.gateway_api or found >= _minor(wanted):
        return
    title = f"the Gateway API in the cluster is {position.gateway_api}, and Istio {target} is built for {wanted}"
    routes = position.used.get(GATEWAY_ROUTES, ())
    if found < _GATEWAY_API_V1 and routes:
        detail = f"it would not see {first(routes, _SHOWN)}"
        yield Finding("PRE044", Severity.ERROR, title, detail, hint=f"install the CRDs of the Gateway API {wanted} first")
    elif position.api_gateways:
        yield Finding("PRE044", Severity.WARNING, title, hint=f"install the CRDs of the Gateway API {wanted} first")


def _minor(version: str) -> tuple[int, int]:
    """Major and minor of a version, zeros for what is none."""
    parts = version.removeprefix("v").split(".")[:2]
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and all(part.isdecimal() for part in parts) else (0, 0)


def _leads_nowhere(position: MeshPosition, strategy: Strategy) -> Iterator[Finding]:
    planes = {plane.revision for plane in position.planes}
    severity = Severity.ERROR if strategy.way is Way.CANARY else Severity.WARNING
    for tag in position.tags:
        if tag.revision not in planes:
            title = f"revision tag {tag.name} leads to {tag.revision}, an istiod that does not run"
            hint = f"delete it, or let it lead to an istiod: istioctl tag set {tag.name} --revision REVISION --overwrite"
            yield Finding("PRE043", severity, title, "pods that it should inject start without a proxy, or not at all", hint=hint)
    lost = [space for space in position.namespaces if space.selector and not position.plane(space.selector)]
    if lost:
        named = first([f"{space.name} ({space.selector})" for space in lost], _SHOWN)
        title = f"labels of namespaces lead to an istiod that does not run: {named}"
        yield Finding("PRE043", severity, title, "their new pods start without a proxy", hint="correct or remove the label istio.io/rev")
    orphans = [one.name for one in position.proxied if any(proxies.revision not in planes for proxies in one.proxies)]
    if orphans:
        title = f"proxies were injected by an istiod that is gone: {first(orphans, _SHOWN)}"
        yield Finding("PRE043", severity, title, "they get no configuration and no certificates any more", hint="restart these workloads")
    if position.validator and position.validator not in planes:
        title = f"the default validator leads to {position.validator}, an istiod that does not run"
        hint = "let the base chart's defaultRevision be one that runs"
        yield Finding("PRE043", Severity.ERROR, title, "every change of an object of Istio fails", hint=hint)


def _skew(position: MeshPosition) -> Iterator[Finding]:
    versions = {plane.revision: plane.version for plane in position.planes}
    ahead, behind = [], []
    for one in position.proxied:
        for proxies in one.proxies:
            plane = versions.get(proxies.revision)
            if plane is None or proxies.version is None:
                continue
            if proxies.version > plane:
                ahead.append(f"{one.name} ({proxies.version}, istiod {plane})")
            elif plane.minors_after(proxies.version) > PROXY_MINORS_BEHIND:
                behind.append(f"{one.name} ({proxies.version}, istiod {plane})")
    page = "https://istio.io/latest/docs/releases/supported-releases/#control-planedata-plane-skew"
    if ahead:
        title = f"proxies are newer than their istiod: {first(ahead, _SHOWN)}"
        yield Finding(
            "PRE045", Severity.WARNING, title, f"Istio does not support it: {page}", hint="upgrade istiod first, as this plan does"
        )
    if behind:
        title = f"proxies are more than one minor older than their istiod: {first(behind, _SHOWN)}"
        yield Finding("PRE045", Severity.WARNING, title, f"Istio does not support it: {page}", hint="restart these workloads")


def _names_old(position: MeshPosition, strategy: Strategy) -> Iterator[Finding]:
    # Of these kinds an istiod takes those with its own revision, and reads no tags (istio: pilot/pkg/config/kube/crdclient/client.go).
    old = {plane.revision for plane in position.planes} - {strategy.revision}
    objects = [str(one) for one in position.labelled if one.revision in old]
    # Gateways of the Gateway API are let through, and go by tags too.
    objects += [str(one) for one in position.api_gateways if goes(position, strategy, one.revision)]
    if objects:
        title = f"objects name a revision that is removed, and the new istiod would not see them: {first(objects, _SHOWN)}"
        detail, hint = "gateways and proxies would lose what they say", "remove their label istio.io/rev"
        yield Finding("PRE041", Severity.ERROR, title, detail, hint=hint)
    spaces = [space.name for space in position.namespaces if goes(position, strategy, space.selector)]
    # A gateway's label is its chart's, which the upgrade sets.
    pods = [one.name for one in position.proxied if one.carrier is not Carrier.GATEWAY and goes(position, strategy, one.pinned)]
    if named := [*(f"Namespace {name}" for name in spaces), *pods]:
        title = f"labels istio.io/rev name a revision that is removed, and not a tag: {first(named, _SHOWN)}"
        hint = "let them name a tag before the upgrade; else change them during it, as the stage workloads says"
        yield Finding("PRE041", Severity.WARNING, title, "meshinstall does not change labels of others", hint=hint)


def _gateways(position: MeshPosition) -> Iterator[Finding]:
    if not position.api_gateways:
        return
    named = first([str(one) for one in position.api_gateways], _SHOWN)
    for plane in position.planes:
        if plane.version and GATEWAY_REVISION_FIX.is_in(plane.version) is not True:
            lacks = GATEWAY_REVISION_FIX.is_in(plane.version) is False
            title = f"istiod {plane.version} takes their configuration from Gateways whose revision changes: {named}"
            if not lacks:
                title = (
                    f"cannot tell whether istiod {plane.version} takes their configuration from Gateways whose revision changes: {named}"
                )
            detail = f"traffic fails until their pods are replaced (istio/istio#59959); fixed in {GATEWAY_REVISION_FIX.releases}"
            hint = "upgrade in place to a patch that has the fix first, or allow it: --allow gateway-outage"
            yield Finding("PRE042", Severity.ERROR if lacks else Severity.WARNING, title, detail, hint=hint)
