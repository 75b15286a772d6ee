"""The helm program behind the Helm port, on pyhelm3's command lines."""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from meshinstall import catalog
from meshinstall.adapters.helm.errors import explain, without_escapes
from meshinstall.errors import HelmError
from meshinstall.model.cluster import Access
from meshinstall.model.release import ReleaseKey
from meshinstall.model.trial import Ground
from meshinstall.model.values import Values

if TYPE_CHECKING:
    from meshinstall.adapters.helm.command import GroupCommand

_VERSION = re.compile(r"v?(?P<plain>(?P<major>\d{1,4})\.(?P<minor>\d{1,4})\.(?P<patch>\d{1,4})(?:-[0-9A-Za-z.-]+)?)(?:\+\S*)?")
# Kubernetes' DNS-1123 subdomain; also keeps a name from being read as an option.
_NAME = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
_HISTORY = 10
_INSTALL_HINT = (
    f"install Helm {catalog.HELM_MINIMUM} or newer (https://helm.sh/docs/intro/install/) and see that `helm version` works in this shell"
)


class PyHelm:
    """Changes releases with the helm program that ``executable`` names.

    ``access`` may be None for ``version`` and ``template``, which need no
    cluster. Deadlines are the caller's (``anyio.fail_after``): cancelling ends
    helm and whatever it started in at most about 4 seconds.
    """

    def __init__(self, access: Access | None = None, executable: str = "helm") -> None:
        self._access = access
        self._executable = executable
        self._version = ""
        self._asking = anyio.Lock()

    async def version(self) -> str:
        """Helm's version without the v, asked once; raises HelmError when there is no helm from 3.18 on."""
        async with self._asking:
            if not self._version:
                answer: str = await self._run("version", lambda command: command.version())
                self._version = _usable(answer)
        return self._version

    async def upgrade(self, key: ReleaseKey, archive: Path, values: Values, *, description: str, force: bool = False) -> None:
        """Install or upgrade a release without waiting for its pods. Raises HelmError.

        Whether objects are applied by the server is left to helm: Helm 4 does
        so for new releases and keeps to the way in which an old one was made,
        so no release changes its field managers by the way. It takes ``force``
        for server-side apply only, which is where HelmConflictError comes from.
        """
        await self.version()
        try:
            await self._run(
                f"upgrade of {_named(key)}",
                lambda command: command.install_or_upgrade(
                    key.name,
                    archive,
                    dict(values),
                    namespace=key.namespace,
                    create_namespace=False,
                    description=description,
                    force_conflicts=force,
                    # Without it, helm takes empty values for "the old ones again".
                    reset_values=True,
                ),
            )
        except ValueError as error:
            raise HelmError(
                f"helm upgrade of {key} succeeded but did not print the release", "check that `helm` is not a wrapper script"
            ) from error

    async def template(self, key: ReleaseKey, archive: Path, values: Values, ground: Ground, *, upgrade: bool = False) -> str:
        """The manifests that an install or ``upgrade`` on this ground would send. Raises HelmError."""
        await self.version()
        argv = ["template", _named(key).name, archive, "--namespace", key.namespace, "--kube-version", ground.kubernetes]
        options = ["--include-crds", "--skip-tests", "--values", "-"]
        options += ["--is-upgrade"] if upgrade else []
        options += ["--api-versions", ",".join(ground.served)] if ground.served else []
        stdin = json.dumps(dict(values)).encode()
        stdout: bytes = await self._run(f"template of {key}", lambda command: command.run([*argv, *options], stdin))
        return stdout.decode()

    async def uninstall(self, key: ReleaseKey) -> None:
        """Remove a release; nothing to do when it is gone already. Raises HelmError."""
        await self.version()
        try:
            await self._run(f"uninstall of {_named(key)}", lambda command: command.uninstall(key.name, namespace=key.namespace))
        except HelmError as error:
            if "release: not found" not in error.message:
                raise

    async def _run(self, action: str, call: Callable[["GroupCommand"], Awaitable[Any]]) -> Any:
        from pyhelm3 import errors

        from meshinstall.adapters.helm.command import GroupCommand

        command = GroupCommand(
            executable=self._executable,
            history_max_revisions=_HISTORY,
            kubeconfig=self._access and self._access.kubeconfig,
            kubecontext=self._access and self._access.context,
        )
        if self._access:
            command.withheld = self._access.withheld
        try:
            return await call(command)
        except errors.Error as error:
            raise explain(action, error.stderr) from error
        except OSError as error:
            raise HelmError(f"{self._executable} cannot be started: {error.strerror}", _INSTALL_HINT) from error


def _named(key: ReleaseKey) -> ReleaseKey:
    if not (_NAME.fullmatch(key.name) and _NAME.fullmatch(key.namespace)):
        raise HelmError(
            f"{key.namespace!r}/{key.name!r} is not a valid release name", "use lower-case letters, digits and - in release and namespace"
        )
    return key


def _usable(answer: str) -> str:
    found = _VERSION.fullmatch(answer.strip())
    if not found:
        raise HelmError(f"`helm version` answered {without_escapes(answer)[:80]!r}, which is not a version", _INSTALL_HINT)
    if tuple(int(found[part]) for part in ("major", "minor", "patch")) < tuple(int(part) for part in catalog.HELM_MINIMUM.split(".")):
        raise HelmError(f"helm {found['plain']} is too old: {catalog.HELM_MINIMUM} or newer is needed", _INSTALL_HINT)
    return found["plain"]
