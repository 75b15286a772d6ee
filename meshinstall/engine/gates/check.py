"""Gathers what the health checks judge besides the facts of the mesh.

Requests: the survey's own; two lists of webhooks, one of CRDs, one of Services, one each of VirtualServices and HTTPRoutes;
two dry-run creations for each istiod; one self review for the clock; and one port-forward for each istiod pod.
"""

import re
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from meshinstall.engine.mesh import webhooks
from meshinstall.engine.mesh.control_planes import istiods
from meshinstall.engine.mesh.dashboards import by_http_route, by_virtual_service, inside
from meshinstall.engine.mesh.reader import Asker, Wanted, short
from meshinstall.engine.mesh.survey import survey
from meshinstall.engine.mesh.webhook_answers import webhook_trouble
from meshinstall.engine.objects.json_fields import at, text
from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.health import Crd, Exposure, HealthFacts, Usage, Webhook, WebhookKind
from meshinstall.model.istio import ISTIOD_MONITORING_PORT
from meshinstall.model.mesh import MeshFacts, Place
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_ADMISSION = "admissionregistration.k8s.io/v1"
_COLLECTIONS = {WebhookKind.MUTATING: "mutatingwebhookconfigurations", WebhookKind.VALIDATING: "validatingwebhookconfigurations"}
_GATEWAYS = "gateways.gateway.networking.k8s.io"
_BUNDLE = "gateway.networking.k8s.io/bundle-version"
_ROUTES = (
    ("VirtualService", object_path("networking.istio.io/v1", "virtualservices"), by_virtual_service),
    ("HTTPRoute", object_path("gateway.networking.k8s.io/v1", "httproutes"), by_http_route),
)
_RESIDENT = re.compile(rb"^process_resident_memory_bytes (\S+)$", re.MULTILINE)


async def look(session: Session) -> HealthFacts:
    """Ask everything, as far as possible at the same time; changes nothing. Raises UnreachableError when the API server is not there."""
    async with explaining(session):
        mesh = await survey(session)
    return await beside(session, mesh)


async def beside(session: Session, mesh: MeshFacts) -> HealthFacts:
    """The same for a mesh that was looked at already."""
    looks = _Looks(session)
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "webhooks": looks.webhooks,
        "crds": looks.crds,
        "services": looks.exposures,
        "clock": looks.clock,
        "usage": lambda: looks.usage(mesh),
        "webhook path": lambda: looks.webhook_path(mesh),
    }
    found = await gather(asks, lambda name: asks[name]())
    crds, bundle = found["crds"]
    return HealthFacts(
        mesh=mesh,
        webhooks=tuple(found["webhooks"]),
        webhook_trouble=found["webhook path"],
        crds=tuple(crds),
        gateway_api=bundle,
        exposures=tuple(found["services"]),
        usage=tuple(found["usage"]),
        skew=found["clock"],
        unread={**looks.unread, **_unread(mesh)},
    )


def _unread(mesh: MeshFacts) -> dict[str, str]:
    """Of the survey's gaps those that leave a check with nothing to judge."""
    silent = [proxy.problem for proxy in mesh.proxies.values() if proxy.problem]
    found = {"proxies": f"{len(silent)} of {len(mesh.proxies)} proxies could not be read: {silent[0]}"} if silent else {}
    if not mesh.authorities:
        found["authorities"] = next(
            (gap for gap in mesh.gaps if "root" in gap or "Secret" in gap), "no CA certificate of the mesh could be read"
        )
    return found


def skew(before: datetime, made: datetime, after: datetime) -> timedelta:
    """How far the clock that said ``made``, in whole seconds, is from one that said the other two around it; zero when it may be right."""
    if made > after:
        return made - after
    latest = made + timedelta(seconds=1)
    return latest - before if latest < before else timedelta()


class _Looks:
    """One method for each question; ``unread`` keeps what was not answered, by the name that checks know it under."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.unread: dict[str, str] = {}

    async def webhooks(self) -> list[Webhook]:
        """Istio's webhooks of both kinds."""
        asker = Asker(self._session.kube)
        found: list[Webhook] = []
        for kind, plural in _COLLECTIONS.items():
            read = partial(webhooks.webhooks, kind=kind, read_roots=self._session.certificates.read_roots)
            for some in await asker.facts(Wanted(f"{kind}s", object_path(_ADMISSION, plural)), read):
                found += some
        self._note("webhooks", asker)
        return found

    async def crds(self) -> tuple[list[Crd], str]:
        """Istio's CRDs, and the version of the Gateway API's."""
        asker = Asker(self._session.kube)
        bundles: list[str] = []

        def read(item: Manifest) -> Crd | None:
            name = text(at(item, "metadata", "name"))
            if name == _GATEWAYS:
                bundles.append(text(at(item, "metadata", "annotations", _BUNDLE)).removeprefix("v"))
            return webhooks.crd(item) if name.endswith(".istio.io") else None

        found = await asker.facts(Wanted("CRDs", object_path("apiextensions.k8s.io/v1", "customresourcedefinitions")), read)
        self._note("crds", asker)
        return found, next(iter(bundles), "")

    async def exposures(self) -> list[Exposure]:
        """Services and routes that lead from outside to a dashboard or a debug port."""
        asker = Asker(self._session.kube)
        shown = await asker.facts(Wanted("Services", object_path("v1", "services")), inside)
        found = [Exposure(f"Service {one.place}", one.what, one.how) for one in shown if one.how]
        if known := {one.place: one.what for one in shown}:
            for kind, path, read in _ROUTES:
                for some in await asker.facts(Wanted(f"{kind}s", path), partial(read, known=known)):
                    found += some
        self._note("services", asker)
        return found

    async def clock(self) -> timedelta | None:
        """How far the API server's clock is ahead of ours; what it makes bears its own time."""
        before = self._session.now()
        try:
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            answer = await self._session.kube.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
            made = datetime.fromisoformat(text(at(answer, "metadata", "creationTimestamp")))
            return skew(before, made, self._session.now())
        except (ClusterError, ValueError, TypeError) as error:
            self.unread["clock"] = f"the API server's clock could not be read: {error}"
            return None

    async def usage(self, mesh: MeshFacts) -> list[Usage]:
        """The memory of every istiod, as it reports it itself."""
        pods = istiods(mesh.pods, {plane.place.namespace for plane in mesh.control_planes})
        answers = await gather((pod.place for pod in pods), self._one_usage)
        found = [answers[pod.place] for pod in pods]
        if silent := [one for one in found if one.problem]:
            self.unread["usage"] = silent[0].problem
        return found

    async def _one_usage(self, place: Place) -> Usage:
        try:
            pod = await self._session.kube.get(object_path("v1", "pods", place.namespace, place.name))
            metrics = await self._session.pods.get(place.namespace, place.name, ISTIOD_MONITORING_PORT, "/metrics")
            match = _RESIDENT.search(metrics)
            used = int(float(match[1])) if match else None
            requested, limit = webhooks.memory(pod or {})
        except (ClusterError, ValueError, OverflowError) as error:
            return Usage(place, None, None, None, f"cannot tell the memory of {place}: {short(error)}")
        return Usage(place, used, requested, limit, "" if match else f"{place} does not report its memory")

    async def webhook_path(self, mesh: MeshFacts) -> dict[str, str]:
        """What each control plane's webhooks answered, by namespace."""
        planes = dict.fromkeys((plane.place.namespace, plane.revision) for plane in mesh.control_planes)
        try:
            found = await gather(planes, lambda plane: webhook_trouble(self._session.kube, *plane))
        except ForbiddenError as error:
            self.unread["webhook path"] = f"dry-run requests are not permitted: {short(error)}"
            return {}
        spaces = dict.fromkeys(space for space, _ in planes)
        troubles = [(space, trouble.text) for (space, _), trouble in ((plane, found[plane]) for plane in planes) if trouble]
        return {space: "; ".join(text for where, text in troubles if where == space) for space in spaces}

    def _note(self, what: str, asker: Asker) -> None:
        if asker.gaps:
            self.unread[what] = "; ".join(asker.gaps)
