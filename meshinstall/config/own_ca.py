"""The key ``ca`` of meshinstall.yaml: the Secret that istiod signs with."""

from collections.abc import Iterator

from meshinstall.config.choice import Choice
from meshinstall.config.documents import Ca, Project
from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.istio import USER_CA_SECRET
from meshinstall.model.own_ca import OwnCa
from meshinstall.model.values import KeyPath, Origin


def check_ca(document: Document, ca: Ca, path: KeyPath) -> Iterator[Problem]:
    """A Secret that istiod would not look at (istio: chart istiod, templates/deployment.yaml mounts one by this name)."""
    if ca.secret and ca.secret != USER_CA_SECRET:
        # What stands there may be a secret itself.
        text = f"ca.secret is not {USER_CA_SECRET}, the one Secret from which istiod reads a CA of yours"
        hint = f"write {USER_CA_SECRET}, and let that be its name: with cert-manager, spec.secretName of the Certificate in istio-system"
        yield document.problem((*path, "ca", "secret"), text, hint)


def find_ca(project: Project, choice: Choice, trust_domain: str) -> OwnCa | None:
    """The CA of the nearest place that says something; None where istiod makes its own."""
    said = (project.settings.ca, choice.environment.ca, choice.site.ca)
    document = project.document
    for ca, (kind, above) in reversed(list(zip(said, choice.places, strict=False))):
        if ca.secret is not None:
            origin = Origin(kind, document.source, *document.place((*above, "ca", "secret")))
            return OwnCa(ca.secret, str(origin), trust_domain) if ca.secret else None
    return None
