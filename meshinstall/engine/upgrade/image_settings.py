"""Finds settings by which an upgrade would go on pulling the images of another version; pure."""

import re
from collections.abc import Iterator

from meshinstall.checks.words import first
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio_version import IstioVersion, istio_version

# The last keys of the values by which charts and the injector choose an image (istiod, cni and ztunnel charts: hub, tag, image).
_TAG, _HUB = "tag", "hub"
_IMAGES = frozenset({"image", "sidecar.istio.io/proxyImage"})
_VERSION = re.compile(r"(?<![\d.])v?\d{1,4}\.\d{1,4}\.\d{1,4}(?:-(?:alpha|beta|rc)\.\d{1,6})?")
_SHOWN = 5


def image_findings(desired: Desired, target: IstioVersion) -> Iterator[Finding]:
    """One for each line that names a version other than the target, or an image whose version cannot be told."""
    stale: dict[tuple[str, str], list[str]] = {}
    unclear: dict[tuple[str, str], list[str]] = {}
    for release in desired.releases:
        for path, spoken in release.values.winners().items():
            if not isinstance(spoken.value, str) or not spoken.value:
                continue
            named = _named(path[-1], spoken.value)
            where = (str(spoken.origin), spoken.value)
            if named is None:
                unclear.setdefault(where, []).append(f"{release.key.name}.{'.'.join(path)}")
            elif any(version != target for version in named):
                stale.setdefault(where, []).append(f"{release.key.name}.{'.'.join(path)}")
    for (origin, value), paths in stale.items():
        title = f"{value} would keep the images of another version than {target}"
        hint = f"remove the line, so that the version decides, or name {target} there"
        yield Finding("PRE040", Severity.ERROR, title, f"it sets {first(paths, _SHOWN)}", origin=origin, hint=hint)
    for (origin, value), paths in unclear.items():
        title = f"cannot tell which version the image {value} is"
        yield Finding("PRE040", Severity.WARNING, title, f"it sets {first(paths, _SHOWN)}", origin=origin, hint=f"see that it is {target}")


def _named(key: str, value: str) -> tuple[IstioVersion, ...] | None:
    """The versions in a setting; None for an image that names none, empty for what chooses none."""
    found = tuple(version for text in _VERSION.findall(value) if (version := istio_version(text)))
    if key == _HUB:
        return found
    if key == _TAG:
        return found or None
    if key not in _IMAGES:
        return ()
    # A name alone, such as pilot, takes its tag from elsewhere.
    has_own = "@" in value or ":" in value.rpartition("/")[2]
    return found or (None if has_own else ())
