"""Input and results of the health checks of a control plane."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from meshinstall.model.finding import Finding, Severity
from meshinstall.model.mesh import MeshFacts, Place
from meshinstall.model.verdict import Outcome


class WebhookKind(StrEnum):
    """The two kinds of admission webhooks."""

    MUTATING = "MutatingWebhookConfiguration"
    VALIDATING = "ValidatingWebhookConfiguration"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of Istio in a configuration; ``roots`` are fingerprints of its caBundle, ``service`` is None when it has a URL.

    ``revisions`` are the values of istio.io/rev that its selectors ask for, ``default`` whether istio-injection=enabled is among them.
    """

    kind: WebhookKind
    configuration: str
    name: str
    service: Place | None
    revision: str
    tag: str = ""
    roots: tuple[str, ...] = ()
    failure_policy: str = ""
    revisions: tuple[str, ...] = ()
    default: bool = False


@dataclass(frozen=True, slots=True)
class Crd:
    """A CustomResourceDefinition: the versions that it serves and those that objects are stored in."""

    name: str
    served: tuple[str, ...]
    stored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exposure:
    """A Service or route by which a dashboard or a debug port can be reached from outside; ``what`` names it, ``how`` is its type."""

    object: str
    what: str
    how: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container of the control plane uses and has asked for: memory in bytes; None when it is not known or not set."""

    pod: Place
    used: int | None
    requested: int | None
    limit: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """One observation of a control plane; ``unread`` maps what could not be read ("webhooks", "crds", ...) to the reason.

    ``webhook_trouble`` is empty when istiod's webhooks answered the API server, ``skew`` how far the API server's clock is ahead of ours,
    ``gateway_api`` the bundle version of the Gateway API's CRDs, empty when they are not installed.
    """

    mesh: MeshFacts
    webhooks: tuple[Webhook, ...] = ()
    webhook_trouble: Mapping[str, str] = field(default_factory=dict)
    crds: tuple[Crd, ...] = ()
    gateway_api: str = ""
    exposures: tuple[Exposure, ...] = ()
    usage: tuple[Usage, ...] = ()
    skew: timedelta | None = None
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check: PASS without findings, FAIL with an error among them; ``reason`` explains NOT PROVEN."""

    code: str
    category: str
    title: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    @property
    def worst(self) -> Severity | None:
        """The worst severity among its findings."""
        found = {finding.severity for finding in self.findings}
        return next((severity for severity in Severity if severity in found), None)
