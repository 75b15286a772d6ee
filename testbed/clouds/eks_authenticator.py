"""The real aws-iam-authenticator beside a cluster, asked by its API server who a token is, as on EKS."""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import urllib3

from testbed.clouds.eks_identity import Keys
from testbed.clouds.eks_sts import sts
from testbed.pki import Authority, write_private
from testbed.spec import AUTHENTICATION, Authenticate, Authentication, Spec
from testbed.waiting import until

# Its own default.
PORT = 21362
# Where the proxy to its STS listens when both are components of a cluster.
PROXY_PORT = 21363
_PATIENCE = 30
_SERVER_NAME = "authenticator.testbed"


def webhook(authority: Authority, cache: str) -> Authenticate:
    """What makes an API server ask it at the cluster's ``host_address``; ``cache`` is how long it believes an answer, such as 10s."""
    return lambda of: Authentication(flags(cache), {KUBECONFIG: kubeconfig(of.host_address, authority)})


def flags(cache: str) -> tuple[str, ...]:
    """The API server's flags, which name the file KUBECONFIG."""
    return (
        f"--authentication-token-webhook-config-file={AUTHENTICATION}/{KUBECONFIG}",
        f"--authentication-token-webhook-cache-ttl={cache}",
    )


KUBECONFIG = "eks.kubeconfig"


def kubeconfig(address: str, authority: Authority) -> str:
    """Where the API server finds it, as the file KUBECONFIG says it."""
    server = {
        "server": f"https://{address}:{PORT}/authenticate",
        "tls-server-name": _SERVER_NAME,
        "certificate-authority-data": base64.b64encode(authority.pair.certificate).decode(),
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "authenticator", "cluster": server}],
            "users": [{"name": "api-server", "user": {}}],
            "contexts": [{"name": "webhook", "context": {"cluster": "authenticator", "user": "api-server"}}],
            "current-context": "webhook",
        }
    )


def configure(folder: Path, address: str, authority: Authority, *, name: str, groups: Mapping[str, str]) -> None:
    """Write its certificate and config.yaml into ``folder``; it is to listen on ``address``.

    It is for the EKS cluster called ``name``; ``groups`` maps the ARN of each IAM role with an access entry to a group.
    """
    pair = authority.server(_SERVER_NAME, _SERVER_NAME)
    (folder / "cert.pem").write_bytes(pair.certificate)
    write_private(folder / "key.pem", pair.key)
    (folder / "ca.pem").write_bytes(authority.pair.certificate)
    roles = [{"roleARN": arn, "username": f"{arn}/{{{{SessionName}}}}", "groups": [group]} for arn, group in groups.items()]
    server = {"address": address, "port": PORT, "stateDir": str(folder), "kubeconfigPregenerated": True, "mapRoles": roles}
    (folder / "config.yaml").write_text(json.dumps({"clusterID": name, "server": server}))


def environment(proxy: str, folder: Path, region: str) -> dict[str, str]:
    """What its process needs to ask the STS behind ``proxy``; ``folder`` is configured."""
    return {
        "HTTPS_PROXY": proxy,
        "SSL_CERT_FILE": str(folder / "ca.pem"),
        "AWS_REGION": region,
        # It would look for the instance it runs on.
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def authenticating(  # noqa: PLR0913 - what a control plane is made of
    of: Spec, program: Path, authority: Authority, keys: Keys, *, name: str, region: str, groups: Mapping[str, str]
) -> Iterator[None]:
    """Run it beside the cluster, for its API server; the rest is as for ``configure``.

    It asks an STS that knows ``keys``; its log is authenticator.log in the cluster's log folder.
    """
    folder = Path(of.state, "authenticator")
    folder.mkdir(mode=0o700)
    configure(folder, of.host_address, authority, name=name, groups=groups)
    with (
        sts(keys, authority, region) as proxy,
        Path(of.state, "log", "authenticator.log").open("w") as log,
        subprocess.Popen(
            [program / "aws-iam-authenticator", "server", "--config", folder / "config.yaml"],
            cwd=folder, env=environment(proxy, folder, region), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        ) as process,
    ):  # fmt: skip
        try:
            until(lambda: _healthy(of, folder), _PATIENCE, lambda: Path(log.name).read_text())
            yield
        finally:
            process.kill()


def _healthy(of: Spec, folder: Path) -> bool:
    try:
        url = f"https://{of.host_address}:{PORT}/healthz"
        with urllib3.PoolManager(ca_certs=str(folder / "ca.pem"), server_hostname=_SERVER_NAME, assert_hostname=_SERVER_NAME) as pool:
            return pool.request("GET", url, retries=False, timeout=2).status == 200  # noqa: PLR2004 - HTTP's own
    except urllib3.exceptions.HTTPError:
        return False
