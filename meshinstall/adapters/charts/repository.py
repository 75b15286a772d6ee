"""Charts in a Helm repository: an index.yaml that lists archives with their digests."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, BinaryIO

from meshinstall.adapters.charts.http import Answer, Http, is_loopback, is_safe, joined, shown
from meshinstall.adapters.charts.source import MAX_ARCHIVE
from meshinstall.adapters.charts.versions import missing
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.model.yaml_text import load

# Istio's index has 2 MiB.
_MAX_INDEX = 20 * 1024**2
_HEX = re.compile(r"[0-9a-f]{64}")


class RepositorySource:
    """The Helm repository at ``url``; ``indexes`` keeps what was read, by address, for the next operation."""

    def __init__(self, url: str, http: Http, indexes: dict[str, Mapping[str, Any]]) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._indexes = indexes

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions in the index."""
        return tuple(str(entry.get("version")) for entry in self._entries(name))

    def digest(self, chart: ChartRef) -> str:
        """The digest in the index; Helm allows an index without digests."""
        digest = str(self._entry(chart).get("digest") or "").removeprefix("sha256:")
        return f"sha256:{digest}" if _HEX.fullmatch(digest) else ""

    def manifest(self, chart: ChartRef) -> str:  # noqa: ARG002 - as the interface has it
        """Nothing: a Helm repository is no registry."""
        return ""

    def copy(self, chart: ChartRef, out: BinaryIO) -> None:
        """Download from the first address that the index gives."""
        urls = self._entry(chart).get("urls")
        if not isinstance(urls, list) or not urls or not isinstance(urls[0], str):
            raise ChartError(f"{self._url}/index.yaml has no download address for chart {chart.name} {chart.version}")
        address = joined(f"{self._url}/", urls[0])
        if not is_safe(address, loopback=is_loopback(self._url)):
            raise ChartError(f"{self._url}/index.yaml lists chart {chart.name} at {shown(address)}, which is not https")
        _judge(self._http.get(address, MAX_ARCHIVE, into=out))

    def _entry(self, chart: ChartRef) -> Mapping[str, Any]:
        for entry in self._entries(chart.name):
            if entry.get("version") == chart.version:
                return entry
        raise missing(chart, self.versions(chart.name))

    def _entries(self, name: str) -> list[Mapping[str, Any]]:
        if self._url not in self._indexes:
            self._indexes[self._url] = self._read_index()
        found = self._indexes[self._url].get(name)
        return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []

    def _read_index(self) -> Mapping[str, Any]:
        """Chart names with their versions."""
        answer = self._http.get(f"{self._url}/index.yaml", _MAX_INDEX)
        _judge(answer)
        try:
            index = load(answer.body)
        except ValueError as error:
            raise self._no_index("it is not YAML") from error
        entries = index.get("entries") if isinstance(index, Mapping) else None
        if not isinstance(entries, Mapping):
            raise self._no_index("it has no entries")
        return entries

    def _no_index(self, why: str) -> ChartError:
        return ChartError(f"{self._url}/index.yaml is not the index of a Helm repository: {why}", "check the address of the repository")


def _judge(answer: Answer) -> None:
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise ChartError(
            f"{shown(answer.url)} answered {answer.status}: it needs a login",
            "logins to Helm repositories are not supported; use an OCI registry or download the charts and use --charts DIR",
        )
    if answer.status != HTTPStatus.OK:
        raise ChartError(f"{shown(answer.url)} answered {answer.status}", "check the address of the repository")
