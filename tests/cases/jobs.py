"""tests/cases/job: what ``job render`` writes, and the rights in docs/jobs.md; ``python -m tests.cases.jobs`` writes both."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meshinstall.config.reference import reference
from meshinstall.jobs.cronjob import Place, Rendered, cronjob
from meshinstall.jobs.rbac import GRANTS
from meshinstall.jobs.terms import EksIdentity, Job
from meshinstall.jobs.text import workflow_text
from meshinstall.jobs.workflow import Snapshot, drill_workflow, workflow
from meshinstall.model.cluster_ref import Cloud, ClusterRef
from meshinstall.model.yaml_dump import dump_all

FOLDER = Path(__file__).parent / "job"
PAGE = Path(__file__).parents[2] / "docs" / "jobs.md"
_TABLE = re.compile(r"(<!-- rights: scripts/golden writes this table -->\n).*?(<!-- end of rights -->\n)", re.DOTALL)
ROLE = "arn:aws:iam::123456789012:role/mesh"
CLIENT, OBJECT = "11111111-2222-3333-4444-555555555555", "99999999-0000-0000-0000-0000000000a2"
ACCOUNT = "mesh@example.iam.gserviceaccount.com"
PROVIDER = "projects/123/locations/global/workloadIdentityPools/github/providers/shop"
IMAGE = f"registry.example/meshinstall@sha256:{'0123456789abcdef' * 4}"
FILES = {
    "meshinstall.yaml": 'apiVersion: meshinstall.dev/v1\nistio: {version: "1.31"}\nenvironments:\n  prod: {}\n',
    "values/components/istiod.yaml": "autoscaleMin: 2\n",
}
PLACE = Place(namespace="meshinstall", image=IMAGE, mesh=("istio-system", "istio-ingress"), workloads=("shop",))
_WRITTEN = {
    Cloud.EKS: {"region": "eu-west-1"},
    Cloud.AKS: {"resourceGroup": "shop", "subscription": CLIENT, "tenant": OBJECT},
    Cloud.GKE: {"project": "example", "location": "europe-west1"},
    Cloud.LOCAL: {},
}
_PRINCIPALS = {Cloud.EKS: ROLE, Cloud.AKS: CLIENT, Cloud.GKE: ACCOUNT, Cloud.LOCAL: ""}


def job(cloud: Cloud, **changed: Any) -> Job:
    """A job of environment prod as its page shows it."""
    asked: dict[str, Any] = {
        "environment": "prod",
        "cluster": cluster(cloud),
        "schedule": "0 2 * * *",
        "zone": "Etc/UTC",
        "deadline": 7200,
        "principal": _PRINCIPALS[cloud],
        "object_id": OBJECT if cloud is Cloud.AKS else "",
    }
    return Job(**{**asked, **changed})


def cluster(cloud: Cloud, **more: str) -> ClusterRef:
    """Its cluster by the keys that meshinstall.yaml has, with more of them."""
    named = {} if cloud is Cloud.LOCAL else {"name": "prod"}
    return reference(cloud, {**named, **_WRITTEN[cloud], **more}, Path())


def rendered(cloud: Cloud, **changed: Any) -> Rendered:
    """The CronJob of that job, with all that belongs to it."""
    return cronjob(job(cloud, **changed), PLACE, FILES)


def texts() -> Mapping[str, str]:
    """All golden files, by name."""
    crons = {
        "cronjob-local": rendered(Cloud.LOCAL),
        "cronjob-eks-pod-identity": rendered(Cloud.EKS),
        "cronjob-eks-irsa": rendered(Cloud.EKS, identity=EksIdentity.IRSA),
        "cronjob-aks": rendered(Cloud.AKS),
        "cronjob-gke": rendered(Cloud.GKE),
    }
    flows = {
        f"github-{cloud}": workflow(job(cloud, object_id=""), "requirements.txt", PROVIDER) for cloud in (Cloud.EKS, Cloud.AKS, Cloud.GKE)
    }
    flows["drill-eks"] = drill_workflow(job(Cloud.EKS), "requirements.txt", "", Snapshot("snapshots/prod", "snapshot.pub"))
    once = {f"{name}.once.txt": "".join(f"{line}\n" for line in found.once) for name, found in crons.items() if found.once}
    return {
        **{f"{name}.yaml": dump_all(found.objects) for name, found in crons.items()},
        **once,
        **{f"{name}.yaml": workflow_text(found) for name, found in flows.items()},
    }


def page(text: str) -> str:
    """The page with its table of rights written anew; raises ValueError where it has no place for one."""
    if len(_TABLE.findall(text)) != 1:
        raise ValueError("the page has no place for one table of rights")
    return _TABLE.sub(lambda match: match[1] + "".join(f"{line}\n" for line in _rights()) + match[2], text)


def _rights() -> Iterator[str]:
    yield "| where | what | used | also granted | why |"
    yield "|---|---|---|---|---|"
    for one in GRANTS:
        what = f"`{one.resource}.{one.group}`" if one.group else f"`{one.resource}`"
        what += "".join(f" {name}" for name in one.names)
        yield f"| {one.where} | {what} | {', '.join(one.used)} | {', '.join(one.spare)} | {one.why} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
