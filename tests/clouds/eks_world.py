"""A person with AWS keys, an account, and meshinstall in a shell of theirs."""

import base64
import json
import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from testbed.clouds import eks, eks_account
from testbed.clouds.eks_identity import Identity, Signed
from testbed.cluster import Cluster
from testbed.shell import write_configuration
from tests.clouds.people import Person

NAME = "shop"
GROUP = "mesh-admins"


def person(home: Path, aws: eks.Aws, identity: Identity, **more: str) -> Person:
    """Somebody with the keys of ``identity`` in the environment and nothing else of AWS's."""
    return Person(
        {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "TMPDIR": str(home),
            "AWS_ACCESS_KEY_ID": identity.access_key,
            "AWS_SECRET_ACCESS_KEY": identity.secret,
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            **more,
        }
    )


def configure(cluster: Cluster, charts: Path, **selectors: str) -> Path:
    """A meshinstall.yaml whose environment staging is the EKS cluster; returns its folder."""
    folder = write_configuration(cluster, charts)
    file = folder / "meshinstall.yaml"
    staging = {"cloud": "eks", "cluster": {"name": NAME, "region": eks_account.REGION, **selectors}}
    file.write_text(json.dumps({**json.loads(file.read_text()), "environments": {"staging": staging}}, indent=2))
    return folder


def account(aws: eks.Aws, server: str, authority: bytes, life: timedelta = timedelta(hours=1)) -> Identity:
    """An account with the cluster in it and a role that has an access entry; returns who may assume it, for ``life``."""
    owner = eks_account.engineer(aws)
    eks_account.make(aws, owner, NAME, server, authority, "1.36")
    aws.roles[eks_account.ADMIN_ROLE] = life
    return owner


def url_of(token: str) -> str:
    """The presigned URL that a token is."""
    encoded = token.removeprefix("k8s-aws-v1.")
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()


def presigned(token: str, cluster: str) -> Signed:
    """The request that a verifier for ``cluster`` makes of a token."""
    parts = urlsplit(url_of(token))
    return Signed("GET", parts.path, parts.query, {"host": parts.netloc, "x-k8s-aws-id": cluster})
