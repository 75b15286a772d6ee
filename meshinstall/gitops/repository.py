"""Where engines find things: the Git repository that holds the files, and charts in a registry by their digest."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from meshinstall.errors import ChartError, UsageError
from meshinstall.gitops.terms import LOCK_HINT, RenderedRelease

_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_SHORT = re.compile(r"git@[A-Za-z0-9.-]+:[A-Za-z0-9._~/-]+")
_SCHEMES = frozenset({"https", "ssh", "file"})


@dataclass(frozen=True, slots=True)
class Repository:
    """A Git repository; ``path`` is where the folder of all files is in it, and ``url`` is empty where an engine knows it already."""

    path: str
    url: str = ""


def check_repository(path: str, url: str, *, needs_url: bool) -> Repository:
    """Raise UsageError for a path that is none below a repository, and for an address that is none or holds a login."""
    path = path.strip("/")
    if not path or not all(map(_PART.fullmatch, path.split("/"))):
        raise UsageError(
            f"--path {path!r}: not a folder of a repository", "write where --out is in the repository, such as --path clusters/mesh"
        )
    if not needs_url:
        return Repository(path)
    parts = urlsplit(url)
    has_login = parts.password is not None or (parts.username is not None and parts.scheme != "ssh")
    is_address = parts.scheme in _SCHEMES and bool(parts.netloc or parts.path) and url.isprintable() and " " not in url
    if has_login or not (is_address or _SHORT.fullmatch(url)):
        raise UsageError(
            "--repo-url: not the address of a Git repository without a login", "write https://…, ssh://git@…, git@HOST:PATH or file://…"
        )
    return Repository(path, url)


def pinned_chart(release: RenderedRelease) -> str:
    """The address of a release's chart in its registry, without a tag; raises ChartError where an engine cannot take it by digest."""
    chart = release.chart
    if not chart.source.startswith("oci://"):
        hint = "set charts.source to oci://…, or use --format manifests or kustomize, which hold the objects themselves"
        raise ChartError(f"engines take charts by digest from a registry alone, and chart {chart.name} is from {chart.source}", hint)
    if not release.manifest:
        raise ChartError(
            f"meshinstall.lock does not say by which digest {chart.source} knows chart {chart.name} {chart.version}", LOCK_HINT
        )
    return f"{chart.source.rstrip('/')}/{chart.name}"
