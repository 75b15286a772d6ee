"""AWS as a process: moto with its gaps filled, and the STS that the cluster's aws-iam-authenticator asks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from testbed.clouds import eks_account, eks_authenticator
from testbed.clouds.eks_identity import Identity
from testbed.clouds.process.kind import Address, Kind, Running
from testbed.pki import Authority, write_private
from testbed.spec import AUTHENTICATION, CLOUD_PORT, Spec

_PROXY_VARIABLES = ("no_proxy", "NO_PROXY")


@contextmanager
def _serve(of: Spec, folder: Path, pki: Path) -> Iterator[Running]:
    from testbed.clouds import eks
    from testbed.clouds.eks_sts import sts

    authority = Authority("testbed-aws")
    groups = {eks_account.ADMIN_ROLE: eks_account.GROUP}
    with (
        eks.serving(eks.Aws(), of.address, CLOUD_PORT) as aws,
        sts(aws.keys, authority, eks_account.REGION, eks_authenticator.PROXY_PORT),
    ):
        owner = eks_account.account(aws, of.server, (pki / "ca.crt").read_bytes())
        write_private(folder / "credentials", _credentials(owner))
        (folder / "config").write_text(_config(aws.url))
        eks_authenticator.configure(folder, of.address, authority, name=eks_account.NAME, groups=groups)
        write_private(AUTHENTICATION / eks_authenticator.KUBECONFIG, eks_authenticator.kubeconfig(of.address, authority))
        addresses = (
            Address(aws.url, "EKS, EC2 and STS (moto; signatures are checked)"),
            Address(f"https://{of.address}:{eks_authenticator.PORT}", "aws-iam-authenticator, a real one"),
        )
        yield Running(addresses, "Group", eks_account.GROUP)


def _credentials(owner: Identity) -> str:
    """As ``aws configure`` writes them."""
    return f"[engineer]\naws_access_key_id = {owner.access_key}\naws_secret_access_key = {owner.secret}\n"


def _config(url: str) -> str:
    """A profile that assumes the role with the access entry."""
    return (
        f"[default]\nregion = {eks_account.REGION}\nendpoint_url = {url}\n"
        f"role_arn = {eks_account.ADMIN_ROLE}\nsource_profile = engineer\n\n"
        f"[profile engineer]\nregion = {eks_account.REGION}\nendpoint_url = {url}\n"
    )


def _login(of: Spec, folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """A profile and its keys; the fake is reached past any proxy of the machine."""
    past = [env[name] for name in _PROXY_VARIABLES if env.get(name)][:1]
    return {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ",".join([*past, of.address]),
    }


KIND = Kind(
    flags=eks_authenticator.flags("2s"),
    staging=lambda _: {"cloud": "eks", "cluster": {"name": eks_account.NAME, "region": eks_account.REGION}},
    login=_login,
    foreign=("AWS_", "no_proxy"),
    serve=_serve,
    parts=("eks",),
)
