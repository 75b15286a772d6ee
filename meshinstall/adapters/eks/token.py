"""EKS's bearer token: a presigned request to STS that identifies its signer and the cluster."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from meshinstall.adapters.eks.session import Aws
from meshinstall.model.cluster_ref import Credential

# aws-iam-authenticator: what a token begins with, the header that binds it to a cluster, the most bytes it reads.
_PREFIX = "k8s-aws-v1."
_HEADER = "x-k8s-aws-id"
_QUERY = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
_MAX_TOKEN = 4096
# Seconds in X-Amz-Expires, for old authenticators; STS itself counts 15 minutes, of which one is kept back, as `aws eks get-token` does.
_EXPIRES = 60
_LIFE = timedelta(minutes=14)


def presign(aws: Aws, cluster: str) -> Credential:
    """A token for the cluster of that name, made without a request; raises UnauthorizedError when there are no credentials."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    credentials, keys = aws.credentials(), aws.sign_in()
    request = AWSRequest("GET", f"https://{sts_host(aws)}/", headers={_HEADER: cluster}, params=_QUERY)
    SigV4QueryAuth(keys, "sts", aws.region, _EXPIRES).add_auth(request)
    token = _PREFIX + base64.urlsafe_b64encode(request.url.encode()).decode().rstrip("=")
    if len(token) > _MAX_TOKEN:
        aws.say(f"the token is {len(token)} bytes long and EKS accepts {_MAX_TOKEN}: assume a role with fewer session tags and policies")
    return Credential(token=token, expires=_end(credentials, datetime.now(UTC)))


def sts_host(aws: Aws) -> str:
    """The region's own STS, as the verifier knows it: no endpoint that the environment names, whose tokens it would refuse."""
    from botocore.regions import EndpointResolver

    variable = aws.session.get_config_variable
    found = EndpointResolver(aws.session.get_data("endpoints")).construct_endpoint(
        "sts",
        aws.region,
        use_dualstack_endpoint=bool(variable("use_dualstack_endpoint")),
        use_fips_endpoint=bool(variable("use_fips_endpoint")),
    )
    return str(found["hostname"])


def _end(credentials: Any, now: datetime) -> datetime:
    """Fourteen minutes from now, or when the credentials that signed it expire: STS accepts no signature of expired credentials."""
    ends: datetime | None = getattr(credentials, "_expiry_time", None)
    return min(now + _LIFE, ends) if ends else now + _LIFE
