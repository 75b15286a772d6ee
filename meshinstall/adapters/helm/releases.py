"""Helm's release records, read from its Secrets through the API."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

import anyio.to_thread
from anyio import CapacityLimiter

from meshinstall.adapters.helm import records
from meshinstall.engine.tasks import gather
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseRecord
from meshinstall.ports import Kube

# Old revisions carry a whole chart each and say nothing of the present.
_CURRENT = "owner=helm,status!=superseded"
# Secrets in memory at the same time.
_AT_ONCE = 4


class HelmReleases:
    """Implements ports.Releases: one list for each namespace, without what the Secrets hold, and one request for each release.

    A Secret holds up to a MiB, and there may be hundreds: together they are more than one answer may have.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def newest(self, namespaces: Iterable[str]) -> Mapping[ReleaseKey, ReleaseRecord]:
        """The newest record of every release in these namespaces."""
        told: list[Manifest] = []
        for namespace in namespaces:
            path = object_path("v1", "secrets", namespace)
            listed = self._kube.list(path, labels=_CURRENT, fields="type=helm.sh/release.v1", metadata_only=True)
            told += [secret async for secret in listed]
        limiter, wanted = CapacityLimiter(_AT_ONCE), records.newest(told)

        async def read(key: ReleaseKey) -> ReleaseRecord | None:
            async with limiter:
                # It may be gone by now.
                secret = await self._kube.get(object_path("v1", "secrets", key.namespace, wanted[key]["metadata"]["name"]))
                return None if secret is None else await anyio.to_thread.run_sync(records.read, key, secret)

        return {key: record for key, record in (await gather(wanted, read)).items() if record}

    async def rivals(self, record: ReleaseRecord) -> str:
        """Why helm may go by another record than this one, in words; empty where it cannot.

        Helm finds records by two labels, whatever type and status the Secret has, and takes the one whose content has the highest revision
        (helm: pkg/storage/driver/secrets.go, pkg/storage/storage.go).
        """
        path = object_path("v1", "secrets", record.key.namespace)
        listed = self._kube.list(path, labels=f"owner=helm,name={record.key.name}", metadata_only=True)
        names = [name async for secret in listed if (name := str(secret["metadata"]["name"])) != record.secret]
        limiter = CapacityLimiter(_AT_ONCE)

        async def look(name: str) -> str:
            async with limiter:
                secret = await self._kube.get(f"{path}/{quote(name, safe='')}")
                found = None if secret is None else await anyio.to_thread.run_sync(records.read, record.key, secret)
            if found is None or (not found.problem and found.revision < record.revision):
                return ""
            return f"has another record, which helm may take for the newest: Secret {record.key.namespace}/{name}"

        return next(filter(None, (await gather(sorted(names), look)).values()), "")

    async def mark_failed(self, record: ReleaseRecord, reason: str) -> None:
        """Turn a pending record into a failed one."""
        path = object_path("v1", "secrets", record.key.namespace, record.secret)
        secret = await self._kube.get(path)
        if secret is not None:
            await self._kube.patch(path, records.mark_failed(secret, reason))
