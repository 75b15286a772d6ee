"""Says where was written what decides the images of a release, for whoever must correct it; pure."""

from collections.abc import Iterable, Mapping

from meshinstall.config.chart_layers import chart_path
from meshinstall.model.desired import Release
from meshinstall.model.release import Component, ReleaseKey
from meshinstall.model.values import KeyPath

_NAMES = ("hub", "tag", "variant", "image")
_PLACES: tuple[KeyPath, ...] = (*((name,) for name in _NAMES), *(("global", name) for name in _NAMES))
# What the injector puts into a pod.
_PROXY: tuple[KeyPath, ...] = (
    *(("global", name) for name in _NAMES),
    ("global", "proxy", "image"),
    ("global", "proxy", "variant"),
    ("global", "proxy_init", "image"),
)


def image_origins(releases: Iterable[Release]) -> Mapping[ReleaseKey, tuple[str, ...]]:
    """For each release the values that decide its images and are not the chart's own; a gateway's image is the injector's."""
    listed = tuple(releases)
    istiod = next((release for release in listed if release.component is Component.ISTIOD), None)
    proxies = _written(istiod, _PROXY) if istiod else ()
    return {one.key: proxies if one.component is Component.GATEWAY else _written(one, _PLACES) for one in listed}


def _written(release: Release, places: tuple[KeyPath, ...]) -> tuple[str, ...]:
    return tuple(
        f"{'.'.join(path)} ({spoken.origin})"
        for path, spoken in release.values.winners().items()
        if chart_path(release.component, path) in places and spoken.value
    )
