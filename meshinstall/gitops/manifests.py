"""Plain manifests: a folder for each site, in it one for each step, one object a file."""

from collections.abc import Iterable

from meshinstall.gitops.terms import Files, RenderedSite, joined


def manifests(sites: Iterable[RenderedSite]) -> Files:
    """For ``kubectl apply -f ENVIRONMENT/CLOUD/STEP``, step after step."""
    return joined(
        (f"{site.path}/{step.value}/{item.file}", item.content) for site in sites for step, items in site.steps() for item in items
    )
