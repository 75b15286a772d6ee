"""Charts in an OCI registry, by the distribution and image specifications and Helm's media types.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md, https://helm.sh/docs/topics/registries/
"""

import hashlib
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import quote

from meshinstall.adapters.charts.cache import mismatch
from meshinstall.adapters.charts.http import Answer, Http, is_loopback, joined, shown
from meshinstall.adapters.charts.logins import Login, Logins
from meshinstall.adapters.charts.registry_login import authorization, refused
from meshinstall.adapters.charts.source import MAX_ARCHIVE
from meshinstall.adapters.charts.versions import missing
from meshinstall.errors import ChartError
from meshinstall.model import json_text
from meshinstall.model.release import ChartRef

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

# Bytes; the specification asks registries for 4 MiB.
_MAX_JSON = 4 * 1024**2
_PAGES = 20
# Where the images of Docker Hub are (oras-go: registry/reference.go).
_HOSTS = {"docker.io": "registry-1.docker.io"}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


class OciSource:
    """The charts below ``oci://host/path``."""

    def __init__(self, source: str, http: Http, logins: Logins) -> None:
        self._source = source.rstrip("/")
        host, _, self._path = self._source.removeprefix("oci://").partition("/")
        self._host = _HOSTS.get(host, host)
        scheme = "http" if is_loopback(f"http://{host}") else "https"
        self._base = f"{scheme}://{self._host}/v2"
        self._http = http
        self._logins = logins
        self._login = Login()
        self._authorization = ""
        # Digests of the manifest and of the layer, by name and tag.
        self._digests: dict[str, tuple[str, str]] = {}

    def versions(self, name: str) -> tuple[str, ...]:
        """The tags, in which Helm writes + as _."""
        url = f"{self._repository(name)}/tags/list"
        tags: list[str] = []
        for _ in range(_PAGES):
            answer = self._get(url, "application/json")
            if answer.status == HTTPStatus.NOT_FOUND:
                return ()
            listed = _parse(answer).get("tags")
            tags += [tag.replace("_", "+") for tag in listed if isinstance(tag, str)] if isinstance(listed, list) else []
            more = _NEXT.search(answer.headers.get("Link", ""))
            if not more or not (url := joined(url, more[1])).startswith(f"{self._base}/"):
                break
        return tuple(tags)

    def digest(self, chart: ChartRef) -> str:
        """The digest of the layer that holds the chart."""
        return self._both(chart)[1]

    def manifest(self, chart: ChartRef) -> str:
        """The digest of the manifest whose layer is the chart of ``chart.digest``."""
        manifest, layer = self._both(chart)
        if chart.digest not in {"", layer}:
            raise mismatch(chart, layer)
        return manifest

    def _both(self, chart: ChartRef) -> tuple[str, str]:
        tag = f"{chart.name}:{chart.version}"
        if tag not in self._digests:
            manifest, layer = self._read(chart)
            self._digests[tag] = manifest, str(layer["digest"])
        return self._digests[tag]

    def copy(self, chart: ChartRef, out: BinaryIO) -> None:
        """Download the layer that holds the chart."""
        answer = self._get(f"{self._repository(chart.name)}/blobs/{self.digest(chart)}", "*/*", MAX_ARCHIVE, out)
        if answer.status != HTTPStatus.OK:
            raise ChartError(
                f"{shown(answer.url)} answered {answer.status} for a layer that its manifest lists",
                "the registry lost it: push the chart again, or use another registry",
            )

    def _read(self, chart: ChartRef) -> tuple[str, Mapping[str, Any]]:
        """The manifest's digest, and the layer that it lists."""
        answer = self._get(f"{self._repository(chart.name)}/manifests/{quote(chart.version.replace('+', '_'))}", _MANIFEST)
        if answer.status == HTTPStatus.NOT_FOUND:
            raise missing(chart, self.versions(chart.name))
        stated = answer.headers.get("Docker-Content-Digest", "")
        came = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if _DIGEST.fullmatch(stated) and stated != came:
            raise ChartError(
                f"{shown(answer.url)} is corrupt: the registry states {stated}, but the manifest has {came}",
                "try again, or use another registry",
            )
        manifest = _parse(answer)
        config, layers = manifest.get("config"), manifest.get("layers")
        if not isinstance(config, Mapping) or config.get("mediaType") != _CONFIG or not isinstance(layers, list):
            kind = config.get("mediaType") if isinstance(config, Mapping) else manifest.get("mediaType")
            raise ChartError(
                f"{self._source}/{chart.name}:{chart.version} is not a Helm chart but {kind!r}", "check the path of the charts"
            )
        found = [layer for layer in layers if isinstance(layer, Mapping) and layer.get("mediaType") == _LAYER]
        if len(found) != 1 or not _DIGEST.fullmatch(str(found[0].get("digest"))):
            raise ChartError(
                f"{self._source}/{chart.name}:{chart.version} has {len(found)} chart layers with a sha256 digest instead of one"
            )
        return came, found[0]

    def _repository(self, name: str) -> str:
        return f"{self._base}/{quote(f'{self._path}/{name}'.strip('/'))}"

    def _get(self, url: str, accept: str, limit: int = _MAX_JSON, into: BinaryIO | None = None) -> Answer:
        answer = self._send(url, accept, limit, into)
        if answer.status == HTTPStatus.UNAUTHORIZED and not self._authorization:
            self._login = self._logins.find(self._host, self._http.left)
            self._authorization = authorization(self._http, answer, url, self._login)
            if self._authorization:
                answer = self._send(url, accept, limit, into)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise refused(answer, url, self._login)
        return answer

    def _send(self, url: str, accept: str, limit: int, into: BinaryIO | None) -> Answer:
        headers = {"Accept": accept, **({"Authorization": self._authorization} if self._authorization else {})}
        return self._http.get(url, limit, headers, into)


def _parse(answer: Answer) -> Mapping[str, Any]:
    if answer.status != HTTPStatus.OK:
        raise ChartError(f"{shown(answer.url)} answered {answer.status}", "check the registry's address and path")
    try:
        found = json_text.load(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        kind = answer.headers.get("Content-Type", "no type")
        raise ChartError(
            f"{shown(answer.url)} answered {kind}, not JSON",
            "check that an OCI registry is at this address, and not a login page or a proxy",
        )
    return found
