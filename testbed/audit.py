"""The API server's audit log of what ServiceAccounts ask, for a cluster that is started with it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from testbed.cluster import Cluster
from testbed.spec import AUTHENTICATION, INSIDE, Authentication, Spec

_POLICY = "audit.json"
_LOG = "audit.log"
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """One request of an account, as the API server understood it; ``status`` is that of its answer."""

    account: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    status: int


def audited(_: Spec) -> Authentication:
    """What ``testbed.cluster.up`` takes as ``authenticate``: the log is kept without any body."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            # Controllers have accounts too.
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ],
    }
    flags = (f"--audit-policy-file={AUTHENTICATION}/{_POLICY}", f"--audit-log-path={INSIDE}/log/{_LOG}", "--audit-log-mode=blocking-strict")
    return Authentication(flags, {_POLICY: json.dumps(policy)})


def requests(cluster: Cluster, namespace: str, account: str) -> Iterator[Request]:
    """What a ServiceAccount asked so far; a subresource is a part of ``resource``: pods/portforward."""
    for text in (cluster.log / _LOG).read_text().splitlines():
        event = json.loads(text)
        if event["user"]["username"] == f"{_ACCOUNT}{namespace}:{account}" and (what := event.get("objectRef")):
            resource = "/".join(part for part in (what.get("resource", ""), what.get("subresource", "")) if part)
            where = (what.get("apiGroup", ""), resource, what.get("namespace", ""), what.get("name", ""))
            yield Request(account, event["verb"], *where, event.get("responseStatus", {}).get("code", 0))
