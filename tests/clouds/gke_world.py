"""A small Google for tests: three projects, a cluster, and who may do what."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from meshinstall.adapters.gke.http import Patience
from meshinstall.adapters.gke.provider import GkeProvider
from meshinstall.errors import MeshinstallError
from meshinstall.model.cluster import Cloud, ClusterRef
from testbed.clouds.gke import FakeGoogle
from testbed.clouds.gke_apis import Project
from testbed.clouds.gke_identity import Account
from testbed.clouds.gke_project import LOCATION, NAME, PROJECT, ROLES, deployer, project

MEMBERSHIP = f"//gkehub.googleapis.com/projects/{PROJECT}/locations/global/memberships/shop"
# Short, for tests in which Google is broken on purpose.
HASTY = Patience(answer=1.0, call=3.0, pause=0.05)
# Short, but for a slow machine.
BRIEF = Patience(answer=20.0, call=3.0, pause=0.05)
# For all others: a machine with other work to do is slow, and no test of theirs waits for the end of it.
PLENTY = Patience(answer=20.0, call=40.0, pause=0.05)


@dataclass(slots=True)
class World:
    """The fake, who calls, and how."""

    google: FakeGoogle
    caller: Account
    deputy: Account
    env: dict[str, str]
    folder: Path
    patience: Patience = PLENTY

    @property
    def project(self) -> Project:
        """The project of the cluster."""
        return self.google.apis.projects[PROJECT]

    def ref(self, **selectors: str) -> ClusterRef:
        """The cluster as flags name it."""
        return ClusterRef(Cloud.GKE, NAME, selectors={"project": PROJECT, "location": LOCATION, **selectors})

    def provider(self, said: list[str] | None = None, **selectors: str) -> GkeProvider:
        """The provider of that cluster."""
        return GkeProvider(self.ref(**selectors), (said if said is not None else []).append, self.patience)

    def be(self, kind: str) -> dict[str, str]:
        """Variables that make a program the caller by a service account's key, a user's login, or the machine it runs on."""
        files: Mapping[str, dict[str, str]] = {"key": self.caller.key_file(PROJECT), "login": self.caller.login_file()}
        if kind == "machine":
            self.google.issuer.machine = self.caller
            return {}
        file = self.folder / f"{kind}.json"
        file.write_text(json.dumps(files[kind]))
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A running Google; the environment stays as it is: ``env`` says what belongs there."""
    caller = deployer()
    deputy = Account(f"mesh@{PROJECT}.iam.gserviceaccount.com", "108000000000000000002", {PROJECT: set(ROLES)})
    with project(folder, caller, deputy).running() as google:
        yield World(google, caller, deputy, google.environment(), folder)


def inhabit(found: World, patch: pytest.MonkeyPatch, who: Mapping[str, str]) -> None:
    """Make this process a program whose way to Google leads to the fake, and who it says that it is."""
    for name in os.environ:
        if name.startswith(("GOOGLE_", "CLOUDSDK_", "GCE_", "REQUESTS_CA", "CURL_CA", "SSL_CERT_DIR")):
            # It could answer in the fake's place.
            patch.setenv(name, "")
    for name, value in {**found.env, **who}.items():
        patch.setenv(name, value)
    patch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)


def caught(provider: GkeProvider) -> MeshinstallError:
    """What describing a cluster raised."""
    with pytest.raises(MeshinstallError) as found:
        provider.describe()
    return found.value
