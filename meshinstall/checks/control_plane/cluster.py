"""Checks of Istio's CRDs, the Gateway API's CRDs, and dashboards that are exposed."""

from collections.abc import Iterator

from meshinstall import catalog
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.health import HealthFacts


def crds(facts: HealthFacts) -> Iterator[Finding]:
    """All CRDs of this Istio are there, and none stores objects in a version that it no longer serves."""
    there = {crd.name for crd in facts.crds}
    wanted = {name for plane in facts.mesh.control_planes for name in catalog.CRDS.get(catalog.minor_of(plane.version), ())}
    missing = sorted(wanted - there)
    if missing and "crds" not in facts.unread:
        hint = "install the base chart of this version: meshinstall up"
        title = f"Istio's CRDs are missing: {', '.join(missing)}"
        yield Finding("CHK015", Severity.ERROR, title, "istiod waits until they exist", hint=hint)
    for crd in facts.crds:
        if lost := [version for version in crd.stored if version not in crd.served]:
            title = f"{crd.name} holds objects stored as {', '.join(lost)}, which it no longer serves"
            hint = "rewrite the objects, then remove the version from status.storedVersions (Kubernetes: storage version migration)"
            yield Finding("CHK015", Severity.ERROR, title, object=f"CustomResourceDefinition {crd.name}", hint=hint)


def gateway_api(facts: HealthFacts) -> Iterator[Finding]:
    """The Gateway API's CRDs are of the version that this Istio is built with, or newer (istio: go.mod, sigs.k8s.io/gateway-api)."""
    for plane in facts.mesh.control_planes:
        wanted = catalog.GATEWAY_API.get(catalog.minor_of(plane.version))
        if wanted and facts.gateway_api and _is_older(facts.gateway_api, wanted):
            title = f"the Gateway API's CRDs are version {facts.gateway_api}; Istio {plane.version} is built with {wanted}"
            detail = "Kubernetes silently drops fields that the older CRDs do not have"
            hint = "upgrade the CRDs: on GKE with the cluster's --gateway-api, elsewhere with the release's standard-install.yaml"
            yield Finding("CHK016", Severity.WARNING, title, detail, hint=hint)


def _is_older(found: str, wanted: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        have, want = Version(found), Version(wanted)
    except InvalidVersion:
        return False
    return (have.major, have.minor) < (want.major, want.minor)


def exposures(facts: HealthFacts) -> Iterator[Finding]:
    """Nothing that shows the mesh's inside without asking who comes can be reached from outside."""
    for exposure in facts.exposures:
        title = f"{exposure.what} can be reached from outside the cluster ({exposure.how})"
        hint = "make it ClusterIP and use kubectl port-forward, or put authentication in front of it"
        yield Finding(
            "CHK017", Severity.WARNING, title, "it has no authentication unless somebody configured it", exposure.object, hint=hint
        )
