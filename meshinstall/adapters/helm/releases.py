"""Helm's release records, read from its Secrets through the API."""

from collections.abc import Iterable, Mapping

import anyio.to_thread

from meshinstall.adapters.helm import records
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseRecord
from meshinstall.ports import Kube

# Old revisions carry a whole chart each and say nothing of the present.
_CURRENT = "owner=helm,status!=superseded"


class HelmReleases:
    """Implements ports.Releases: one list for each namespace."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def newest(self, namespaces: Iterable[str]) -> Mapping[ReleaseKey, ReleaseRecord]:
        """The newest record of every release in these namespaces."""
        secrets: list[Manifest] = []
        for namespace in namespaces:
            path = object_path("v1", "secrets", namespace)
            secrets += [secret async for secret in self._kube.list(path, labels=_CURRENT, fields="type=helm.sh/release.v1")]
        return await anyio.to_thread.run_sync(records.newest, secrets)

    async def mark_failed(self, record: ReleaseRecord, reason: str) -> None:
        """Turn a pending record into a failed one."""
        path = object_path("v1", "secrets", record.key.namespace, record.secret)
        secret = await self._kube.get(path)
        if secret is not None:
            await self._kube.patch(path, records.mark_failed(secret, reason))
