"""Versions of Istio and of its charts: 1.31.0 in full, 1.31 for the newest of a minor."""

import re
from collections.abc import Iterable

# semver.org, without its rule on leading zeros of pre-release parts.
_FULL = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_MINOR = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


def is_full(text: str) -> bool:
    """Whether ``text`` is one version, such as 1.31.0 or 1.31.0-rc.1."""
    return bool(_FULL.fullmatch(text))


def is_minor(text: str) -> bool:
    """Whether ``text`` is a minor, such as 1.31, which stands for one of its versions."""
    return bool(_MINOR.fullmatch(text))


def is_prerelease(version: str) -> bool:
    """Whether a full version comes before its release."""
    found = _FULL.fullmatch(version)
    return bool(found and found[4])


def fits(version: str, minor: str) -> bool:
    """Whether a full version is one of ``minor``, pre-releases included."""
    return is_full(version) and version.startswith(f"{minor}.")


def newest(minor: str, versions: Iterable[str]) -> str:
    """The newest release of a minor among these; no pre-release is. Empty when there is not any."""
    return max((version for version in versions if fits(version, minor) and not is_prerelease(version)), key=order, default="")


def order(version: str) -> tuple[int, int, int, bool, str]:
    """Ascending; a pre-release comes before its release, and what is not a version before all."""
    found = _FULL.fullmatch(version)
    if not found:
        return 0, 0, 0, False, version
    major, minor, patch, pre = found.groups()
    return int(major), int(minor), int(patch), pre is None, pre or ""
