"""Policies together with what an environment says of the mesh that they are for; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from meshinstall.checks.policies.reading import GatewayPods, Policies
from meshinstall.engine.objects.json_fields import rows, table, text
from meshinstall.model.authz import Normalization
from meshinstall.model.desired import Desired, Policy, Release
from meshinstall.model.istio import DEFAULT_DOMAIN
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.release import Component


def known_mesh(objects: tuple[PolicyObject, ...], desired: Desired | None) -> Policies:
    """Policies with the trust domains, providers, root namespace and path normalization of a mesh; those of Istio's defaults for None."""
    if desired is None:
        return Policies(objects)
    mesh: Mapping[str, Any] = table(desired.istiod.values.merged().get("meshConfig")) if desired.istiod else {}
    domain = text(mesh.get("trustDomain")) or DEFAULT_DOMAIN
    aliases = tuple(text(one) for one in rows(mesh.get("trustDomainAliases")))
    providers = tuple(text(table(one).get("name")) for one in rows(mesh.get("extensionProviders")))
    root = text(mesh.get("rootNamespace")) or desired.mesh_namespace
    how = text(table(mesh.get("pathNormalization")).get("normalization"))
    normalization = Normalization(how) if how in set(Normalization) else Normalization.BASE
    return Policies(
        objects,
        root,
        (domain, *aliases),
        desired.istio_version,
        providers,
        desired.identity,
        normalization,
        istiod=desired.istiod.values.merged() if desired.istiod else {},
        gateways=tuple(_pods(one) for one in desired.releases if one.component is Component.GATEWAY),
        is_strict=any(_is_strict(one) for one in desired.policies),
    )


def _pods(release: Release) -> GatewayPods:
    """The labels that the gateway chart gives its pods (istio: manifests/charts/gateway/templates/_helpers.tpl)."""
    values = release.values.merged()
    name = text(values.get("name")) or release.key.name
    labels = table(values.get("labels"))
    app, istio = text(labels.get("app")) or name, text(labels.get("istio")) or name.removeprefix("istio-")
    return GatewayPods(f"the gateway {release.key}", release.key.namespace, {"app": app, "istio": istio})


def _is_strict(policy: Policy) -> bool:
    """Whether a policy that an environment itself makes closes its mesh to plaintext."""
    manifest = policy.manifest
    return manifest["kind"] == "PeerAuthentication" and text(table(table(manifest.get("spec")).get("mtls")).get("mode")) == "STRICT"


def mesh_wide(desired: Desired | None) -> Iterable[PolicyObject]:
    """The policies that an environment itself makes, such as its mTLS mode."""
    return map(with_lines, desired.policies if desired else ())


def with_lines(policy: Policy) -> PolicyObject:
    """A policy with the lines of the file that it is of; what another file patched has those of the nearest that is its own."""
    source = policy.origin.source
    own = {path: (at.line, at.column) for path, at in policy.places.items() if at.source == source}
    return PolicyObject(source, policy.manifest, {(): (policy.origin.line, policy.origin.column), **own})
