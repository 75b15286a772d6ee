"""Finds the versions that the files let a night take: one that is written or pinned, or what the source has of a minor."""

from meshinstall.config import lockfile
from meshinstall.config.version_choice import chart_names, of_lock, of_source, releases_of
from meshinstall.engine.nightly.choice import Offer
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.istio_version import IstioVersion, istio_version
from meshinstall.model.version import is_full


async def find_offer(written: Desired, session: Session, *, trusts_source: bool) -> Offer:
    """What is offered; raises ChartError, or UsageError where neither a lock file nor the configuration bounds a night.

    Requests: one list of versions for each chart, where the source is trusted and nothing is pinned.
    """
    pins, minor = session.chart_pins, written.istio_version
    if not pins.charts and not trusts_source:
        hint = f"run `meshinstall lock --update --env {written.environment}` and commit the file, or write charts: {{trust: source}}"
        raise UsageError(f"{lockfile.NAME} does not exist, and a night takes the charts that it pins", hint)
    if is_full(minor):
        return Offer((_read(minor),), f"istio.version ({written.version_origin})", is_exact=True)
    if found := of_lock(minor, chart_names(written), pins):
        return Offer((_read(found.version),), lockfile.NAME, is_exact=True)
    wanted = {release.chart.name: release.chart for release in written.releases}
    offered = await gather(wanted, lambda name: session.charts.versions(wanted[name]))
    source = next(iter(wanted.values())).source
    of_source(minor, offered, source)
    versions = (istio_version(version) for version in releases_of(minor, offered))
    return Offer(tuple(version for version in versions if version), source)


def _read(text: str) -> IstioVersion:
    version = istio_version(text)
    if version is None:
        raise UsageError(f"{text} is not a version of Istio", "correct istio.version")
    return version
