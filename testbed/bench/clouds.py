"""What a managed cluster costs before it is asked anything: a credential, and finding out where it is, as whole processes.

The clouds are fakes on the loopback; what their answers take is in the figures.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from testbed.bench.contenders import MESHINSTALL
from testbed.bench.process import Cost, measure
from testbed.pki import Authority

_RUNS = 11
_NAME = "shop"
_SERVER = "https://203.0.113.7"
# What this machine sets and the fakes' own environments leave: ways around them, and authorities that none of them is of.
_NOTHING_ELSE = {"NO_PROXY": "", "no_proxy": "", "REQUESTS_CA_BUNDLE": ""}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with an account: what the environment says of it, the flags that name the cluster, and the SDK's part for a credential."""

    env: Mapping[str, str]
    flags: tuple[str, ...]
    sdk: str


@dataclass(slots=True)
class Times:
    """Seconds of whole processes: ``meshinstall credential``; ``meshinstall kubeconfig``, which describes the cluster.

    ``busy`` are the seconds of CPU of a credential: all but the time that the cloud takes to answer. ``sdk`` is a Python
    that does no more than import what the SDK needs for one.
    """

    credential: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    sdk: list[float] = field(default_factory=list)
    describe: list[float] = field(default_factory=list)


def run() -> dict[str, Times]:
    """Ask each cloud in turns; the first of each, which may write byte code, does not count."""
    times = {cloud: Times() for cloud in _CLOUDS}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        callers = {}
        for cloud, account in _CLOUDS.items():
            place = Path(folder, cloud)
            place.mkdir()
            callers[cloud] = stack.enter_context(account(place))
        for number in range(1 + _RUNS):
            for cloud, caller in callers.items():
                credential, sdk, describe = _once(cloud, caller)
                if number:
                    times[cloud].credential.append(credential.seconds)
                    times[cloud].busy.append(credential.cpu)
                    times[cloud].sdk.append(sdk.seconds)
                    times[cloud].describe.append(describe.seconds)
    return times


def _once(cloud: str, caller: Caller) -> tuple[Cost, Cost, Cost]:
    target = ("--cloud", cloud, "--cluster", _NAME, *caller.flags)
    # As the kubeconfigs that we write ask for it.
    login = ("--login", "entra") if cloud == "aks" else ()
    credential = measure((*MESHINSTALL, "credential", *target, *login), caller.env)
    sdk = measure((sys.executable, "-c", f"import {caller.sdk}"), {})
    describe = measure((*MESHINSTALL, "kubeconfig", *target), caller.env)
    return credential, sdk, describe


@contextmanager
def _eks(_: Path) -> Iterator[Caller]:
    from testbed.clouds import eks, eks_account

    with eks.serving(eks.Aws()) as aws:
        owner = eks_account.engineer(aws)
        eks_account.make(aws, owner, _NAME, _SERVER, Authority(_NAME).pair.certificate, "1.36")
        env = {
            "AWS_ACCESS_KEY_ID": owner.access_key,
            "AWS_SECRET_ACCESS_KEY": owner.secret,
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield Caller(env, ("--region", eks_account.REGION), "botocore.session")


@contextmanager
def _aks(folder: Path) -> Iterator[Caller]:
    from testbed.clouds.aks_shop import GROUP, PIPELINE, SUBSCRIPTION, TENANT, add_cluster, entra_kubeconfig, shop

    fake = shop(folder)
    add_cluster(fake, entra_kubeconfig(_SERVER, Authority(_NAME).pair.certificate))
    who = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": PIPELINE.client_id, "AZURE_CLIENT_SECRET": PIPELINE.secret}
    with fake.running():
        env = {**_NOTHING_ELSE, **fake.environment(), **who}
        yield Caller(env, ("--resource-group", GROUP, "--subscription", SUBSCRIPTION), "azure.identity")


@contextmanager
def _gke(folder: Path) -> Iterator[Caller]:
    import json

    from google.cloud.container_v1.types import Cluster, ControlPlaneEndpointsConfig

    from testbed.clouds.gke import FakeGoogle
    from testbed.clouds.gke_apis import Apis, Project
    from testbed.clouds.gke_identity import Account, Issuer

    project, location = "bench", "europe-west1"
    dns = ControlPlaneEndpointsConfig.DNSEndpointConfig(endpoint="gke-0-1.europe-west1.gke.goog", allow_external_traffic=True)
    cluster = Cluster(
        name=_NAME,
        location=location,
        status=Cluster.Status.RUNNING,
        control_plane_endpoints_config=ControlPlaneEndpointsConfig(dns_endpoint_config=dns),
    )
    caller = Account(f"bench@{project}.iam.gserviceaccount.com", "1", {project: {"container.clusters.get"}})
    key = folder / "key.json"
    key.write_text(json.dumps(caller.key_file(project)))
    with FakeGoogle(Issuer(caller), Apis({project: Project([cluster])}), folder).running() as google:
        env = {**_NOTHING_ELSE, **google.environment(), "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
        yield Caller(env, ("--project", project, "--location", location), "google.oauth2.service_account")


_CLOUDS: Mapping[str, Callable[[Path], AbstractContextManager[Caller]]] = {"eks": _eks, "aks": _aks, "gke": _gke}
