"""The real aws-iam-authenticator beside a cluster, asked by its API server who a token is, as on EKS."""

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
_PORT = 21362
_PATIENCE = 30
_SERVER_NAME = "authenticator.testbed"


def webhook(authority: Authority, cache: str) -> Authenticate:
    """What makes an API server ask it; ``cache`` is how long it believes an answer, such as 10s."""
    import base64

    def authenticate(of: Spec) -> Authentication:
        server = {
            "server": f"https://{of.host_address}:{_PORT}/authenticate",
            "tls-server-name": _SERVER_NAME,
            "certificate-authority-data": base64.b64encode(authority.pair.certificate).decode(),
        }
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "authenticator", "cluster": server}],
            "users": [{"name": "api-server", "user": {}}],
            "contexts": [{"name": "webhook", "context": {"cluster": "authenticator", "user": "api-server"}}],
            "current-context": "webhook",
        }
        flags = (
            f"--authentication-token-webhook-config-file={AUTHENTICATION}/eks.kubeconfig",
            f"--authentication-token-webhook-cache-ttl={cache}",
        )
        return Authentication(flags, {"eks.kubeconfig": json.dumps(kubeconfig)})

    return authenticate


@contextmanager
def authenticating(  # noqa: PLR0913 - what a control plane is made of
    of: Spec, program: Path, authority: Authority, keys: Keys, *, name: str, region: str, groups: Mapping[str, str]
) -> Iterator[None]:
    """Run it for the EKS cluster called ``name``; ``groups`` maps the ARN of each IAM role with an access entry to a group.

    It asks an STS that knows ``keys``; its log is authenticator.log in the cluster's log folder.
    """
    folder = Path(of.state, "authenticator")
    folder.mkdir(mode=0o700)
    pair = authority.server(_SERVER_NAME, _SERVER_NAME)
    (folder / "cert.pem").write_bytes(pair.certificate)
    write_private(folder / "key.pem", pair.key)
    (folder / "ca.pem").write_bytes(authority.pair.certificate)
    roles = [{"roleARN": arn, "username": f"{arn}/{{{{SessionName}}}}", "groups": [group]} for arn, group in groups.items()]
    server = {"address": of.host_address, "port": _PORT, "stateDir": str(folder), "kubeconfigPregenerated": True, "mapRoles": roles}
    (folder / "config.yaml").write_text(json.dumps({"clusterID": name, "server": server}))
    with sts(keys, authority, region) as proxy, Path(of.state, "log", "authenticator.log").open("w") as log:
        env = {
            "HTTPS_PROXY": proxy,
            "SSL_CERT_FILE": str(folder / "ca.pem"),
            "AWS_REGION": region,
            # It would look for the instance it runs on.
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with subprocess.Popen(
            [program / "aws-iam-authenticator", "server", "--config", folder / "config.yaml"],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        ) as process:  # fmt: skip
            try:
                until(lambda: _healthy(of, folder), _PATIENCE, lambda: Path(log.name).read_text())
                yield
            finally:
                process.kill()


def _healthy(of: Spec, folder: Path) -> bool:
    try:
        url = f"https://{of.host_address}:{_PORT}/healthz"
        with urllib3.PoolManager(ca_certs=str(folder / "ca.pem"), server_hostname=_SERVER_NAME, assert_hostname=_SERVER_NAME) as pool:
            return pool.request("GET", url, retries=False, timeout=2).status == 200  # noqa: PLR2004 - HTTP's own
    except urllib3.exceptions.HTTPError:
        return False
