"""A person with AWS keys and meshinstall in a shell of theirs, and what is in a token."""

import base64
import os
from pathlib import Path
from urllib.parse import urlsplit

from testbed.clouds import eks
from testbed.clouds.eks_identity import Identity, Signed
from tests.clouds.people import Person


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


def url_of(token: str) -> str:
    """The presigned URL that a token is."""
    encoded = token.removeprefix("k8s-aws-v1.")
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()


def presigned(token: str, cluster: str) -> Signed:
    """The request that a verifier for ``cluster`` makes of a token."""
    parts = urlsplit(url_of(token))
    return Signed("GET", parts.path, parts.query, {"host": parts.netloc, "x-k8s-aws-id": cluster})
