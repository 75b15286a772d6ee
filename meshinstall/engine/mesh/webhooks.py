"""Turns webhook configurations, CRDs and pods of istiod into facts; pure. Objects of another shape raise ValueError."""

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any

from meshinstall.engine.objects.json_fields import at, flag, rows, table, text
from meshinstall.errors import ClusterError
from meshinstall.model.health import Crd, Webhook, WebhookKind
from meshinstall.model.istio import ISTIOD_CONTAINER
from meshinstall.model.labels import INJECTION, REVISION, TAG
from meshinstall.model.mesh import CertificateFacts, Place
from meshinstall.model.quantity import size_in_bytes
from meshinstall.model.release import Manifest

# Names of Istio's webhooks end so, whatever their configuration is called.
_OURS = ".istio.io"


def webhooks(item: Manifest, kind: WebhookKind, read_roots: Callable[[bytes], tuple[CertificateFacts, ...]]) -> tuple[Webhook, ...]:
    """Istio's webhooks in one configuration."""
    return tuple(_webhook(item, one, kind, read_roots) for one in rows(at(item, "webhooks")) if text(at(one, "name")).endswith(_OURS))


def _webhook(item: Manifest, one: Any, kind: WebhookKind, read_roots: Callable[[bytes], tuple[CertificateFacts, ...]]) -> Webhook:
    service = table(at(one, "clientConfig", "service"))
    asked = list(_asked(one))
    return Webhook(
        kind=kind,
        configuration=text(at(item, "metadata", "name")),
        name=text(at(one, "name")),
        service=Place(text(at(service, "namespace")), text(at(service, "name"))) if service else None,
        revision=text(at(item, "metadata", "labels", REVISION)),
        tag=text(at(item, "metadata", "labels", TAG)),
        roots=_roots(text(at(one, "clientConfig", "caBundle")), read_roots),
        failure_policy=text(at(one, "failurePolicy")),
        revisions=tuple(dict.fromkeys(value for key, value in asked if key == REVISION)),
        default=(INJECTION, "enabled") in asked,
    )


def _roots(bundle: str, read_roots: Callable[[bytes], tuple[CertificateFacts, ...]]) -> tuple[str, ...]:
    """Fingerprints; none for a bundle that is empty or no certificates, which the API server cannot use either."""
    try:
        pem = base64.b64decode(bundle, validate=True)
        return tuple(certificate.fingerprint for certificate in read_roots(pem)) if pem else ()
    except (binascii.Error, ClusterError):
        return ()


def _asked(one: Any) -> Iterator[tuple[str, str]]:
    """Labels that the selectors of a webhook ask for."""
    for selector in (table(at(one, "namespaceSelector")), table(at(one, "objectSelector"))):
        yield from ((key, text(value)) for key, value in table(selector.get("matchLabels")).items())
        for expression in rows(selector.get("matchExpressions")):
            if text(at(expression, "operator")) == "In":
                yield from ((text(at(expression, "key")), text(value)) for value in rows(at(expression, "values")))


def crd(item: Manifest) -> Crd:
    """Which versions a CRD serves, and in which objects are stored."""
    served = tuple(text(at(version, "name")) for version in rows(at(item, "spec", "versions")) if flag(at(version, "served")))
    return Crd(text(at(item, "metadata", "name")), served, tuple(text(one) for one in rows(at(item, "status", "storedVersions"))))


def memory(pod: Manifest) -> tuple[int | None, int | None]:
    """Bytes that the container ``discovery`` asked for and may have; None where nothing is set."""
    for container in rows(at(pod, "spec", "containers")):
        if text(at(container, "name")) == ISTIOD_CONTAINER:
            resources = table(at(container, "resources"))
            return size_in_bytes(at(resources, "requests", "memory")), size_in_bytes(at(resources, "limits", "memory"))
    return None, None
