"""Google as a process: its APIs, the cluster's DNS endpoint with IAM in front, and the review of tokens for its API server."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from testbed.clouds import gke, gke_awkward, gke_project
from testbed.clouds.process.kind import PROXIES, Address, Kind, Running
from testbed.pki import write_private
from testbed.spec import AUTHENTICATION, CLOUD_PORT, Account, Spec

_KEY = "key.json"


@contextmanager
def _serve(of: Spec, folder: Path, pki: Path) -> Iterator[Running]:
    listen, authority = (of.address, CLOUD_PORT), (pki / "ca.crt").read_bytes()
    if of.account is Account.AWKWARD:
        cloud, who = gke_awkward.project(folder, listen), gke_awkward.TARGET
        gke_awkward.login(cloud, folder)
        gke_awkward.lead_to(cloud, of, authority)
    else:
        deployer = gke_project.deployer()
        write_private(folder / _KEY, json.dumps(deployer.key_file(gke_project.PROJECT)))
        cloud, who = gke_project.project(folder, deployer, listen=listen), deployer.email
        gke_project.lead_to(cloud, of, authority)
    with cloud.running() as google:
        for name, text in google.authentication(of.address).files.items():
            write_private(AUTHENTICATION / name, text)
        what = "Google's APIs and the DNS endpoint, behind a proxy"
        yield Running((Address(f"http://{google.address}", what),), "User", who)


def _login(of: Spec, folder: Path, _env: Mapping[str, str]) -> dict[str, str]:
    """A service account's key; in an awkward account an engineer's login and a chain of service accounts."""
    if of.account is Account.AWKWARD:
        return {**gke.environment(f"{of.address}:{CLOUD_PORT}", folder), **gke_awkward.variables()}
    return {**gke.environment(f"{of.address}:{CLOUD_PORT}", folder), "GOOGLE_APPLICATION_CREDENTIALS": str(folder / _KEY)}


KIND = Kind(
    flags=gke.FLAGS,
    staging=lambda _: {
        "cloud": "gke",
        "cluster": {"name": gke_project.NAME, "project": gke_project.PROJECT, "location": gke_project.LOCATION},
    },
    login=_login,
    foreign=("GOOGLE_", "CLOUDSDK_", "GCE_", "REQUESTS_CA_BUNDLE", *PROXIES),
    serve=_serve,
)
