"""AWS as a process: moto with its gaps filled, and the STS that the cluster's aws-iam-authenticator asks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.clouds import eks_account, eks_authenticator, eks_awkward
from testbed.clouds.process.kind import Address, Kind, Running
from testbed.pki import Authority, write_private
from testbed.spec import AUTHENTICATION, CLOUD_PORT, Account, Spec

if TYPE_CHECKING:
    from testbed.clouds.eks import Aws

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
        make = eks_awkward.awkward if of.account is Account.AWKWARD else eks_account.account
        owner = make(aws, of.server, (pki / "ca.crt").read_bytes())
        write_private(folder / "credentials", eks_awkward.credentials(owner))
        (folder / "config").write_text(eks_awkward.config(aws.url) if of.account is Account.AWKWARD else _config(aws.url))
        if of.account is Account.AWKWARD:
            _keep_session(folder, aws)
        eks_authenticator.configure(folder, of.address, authority, name=eks_account.NAME, groups=groups)
        write_private(AUTHENTICATION / eks_authenticator.KUBECONFIG, eks_authenticator.kubeconfig(of.address, authority))
        addresses = (
            Address(aws.url, "EKS, EC2 and STS (moto; signatures are checked)"),
            Address(f"https://{of.address}:{eks_authenticator.PORT}", "aws-iam-authenticator, a real one"),
        )
        yield Running(addresses, "Group", eks_account.GROUP, (eks_account.INGRESS_CLASS,))


def _keep_session(folder: Path, aws: "Aws") -> None:
    """As if the person of the home folder had typed an MFA code for the AWS CLI a moment ago."""
    cache = _home(folder) / ".aws/cli/cache"
    cache.mkdir(parents=True, mode=0o700)
    name, content = eks_awkward.cached_session(aws)
    write_private(cache / name, content)


def _home(folder: Path) -> Path:
    return folder / "home"


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
    plain = {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ",".join([*past, of.address]),
    }
    if of.account is Account.PLAIN:
        return plain
    home = Path(env.get("HOME") or Path.home())
    return {
        **plain,
        "AWS_PROFILE": eks_awkward.PROFILE,
        "AWS_REGION": eks_account.REGION,
        # The AWS CLI's cache has no other way; all else stays where it was.
        "HOME": str(_home(folder)),
        "XDG_CACHE_HOME": env.get("XDG_CACHE_HOME") or str(home / ".cache"),
        "XDG_STATE_HOME": env.get("XDG_STATE_HOME") or str(home / ".local/state"),
    }


KIND = Kind(
    flags=eks_authenticator.flags("2s"),
    staging=lambda _: {"cloud": "eks", "cluster": {"name": eks_account.NAME, "region": eks_account.REGION}},
    login=_login,
    foreign=("AWS_", "no_proxy"),
    serve=_serve,
    parts=("eks",),
)
