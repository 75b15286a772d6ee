"""A workflow of GitHub Actions that upgrades a mesh at night, signed in by OIDC: no secret is in it, nor in the repository's settings."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from meshinstall.errors import UsageError
from meshinstall.jobs.terms import NAME, Job, check_job, check_provider, check_reach
from meshinstall.model.cluster_ref import Cloud

_MINUTE = 60
# GitHub ends a job of its own runners after six hours.
_LONGEST = 360


@dataclass(frozen=True, slots=True)
class Pin:
    """An action at a commit, and the version that the commit has."""

    action: str
    commit: str
    version: str

    @property
    def use(self) -> str:
        """As ``uses`` has it."""
        return f"{self.action}@{self.commit}"


# As of 2026-11-30, each as several public repositories pin it. Dependabot and Renovate read the version behind it, and propose newer ones.
CHECKOUT = Pin("actions/checkout", "de0fac2e4500dabe0009e67214ff5f5447ce83dd", "v6.0.2")
UPLOAD = Pin("actions/upload-artifact", "043fb46d1a93c77aae656e7c1c64a875d1fc6a0a", "v7.0.1")
LOGINS: Mapping[Cloud, Pin] = MappingProxyType(
    {
        Cloud.EKS: Pin("aws-actions/configure-aws-credentials", "61815dcd50bd041e203e49132bacad1fd04d2708", "v5.1.1"),
        Cloud.AKS: Pin("azure/login", "a457da9ea143d694b1b9c7c869ebb04ebe844ef5", "v2.3.0"),
        Cloud.GKE: Pin("google-github-actions/auth", "7c6bc770dae815cd3e89ee6cdf493a5fab2cc093", "v3.0.0"),
    }
)


def workflow(job: Job, requirements: str, provider: str = "") -> dict[str, Any]:
    """The file; ``requirements`` pins meshinstall with hashes, ``provider`` is Google's. Raises UsageError for what cannot be."""
    check_job(job)
    check_reach(job.cluster)
    if job.cluster.cloud is Cloud.LOCAL:
        raise UsageError(
            "--kind github needs --cloud aks, eks or gke", "GitHub's OIDC tokens open managed clusters; elsewhere use --kind cronjob"
        )
    if job.zone != "Etc/UTC":
        raise UsageError(
            "--time-zone is for --kind cronjob", "GitHub's schedules are in UTC; windows in meshinstall.yaml have time zones of their own"
        )
    minutes = min(job.deadline // _MINUTE, _LONGEST)
    return {
        "name": f"{NAME} {job.environment}",
        "on": {"schedule": [{"cron": job.schedule}], "workflow_dispatch": {}},
        "permissions": {},
        # A run that is at work is never ended by the next one.
        "concurrency": {"group": f"{NAME}-{job.environment}", "cancel-in-progress": False},
        "jobs": {
            "upgrade": {
                "runs-on": "ubuntu-24.04",
                "environment": job.environment,
                "permissions": {"contents": "read", "id-token": "write"},
                "timeout-minutes": minutes,
                "defaults": {"run": {"shell": "bash"}},
                "steps": _steps(job, requirements, provider),
            }
        },
    }


def _steps(job: Job, requirements: str, provider: str) -> list[dict[str, Any]]:
    program = "venv/bin/meshinstall"
    night = shlex.join((program, *job.arguments, "--output", "json"))
    where = ("--cloud", job.cluster.cloud.value, "--env", job.environment)
    verdict = shlex.join((program, "verify", "--read-only", *where, "--junit", "results/verify.xml"))
    install = shlex.join(("venv/bin/pip", "install", "--require-hashes", "--only-binary", ":all:", "--requirement", requirements))
    return [
        {"uses": CHECKOUT.use, "with": {"persist-credentials": False}},
        # Before the login: what an installation runs does not see it.
        {"name": "Install", "run": f"mkdir results\npython3 -m venv venv\n{install}\n"},
        {"name": "Sign in", "uses": LOGINS[job.cluster.cloud].use, "with": _login(job, provider)},
        {"name": "Upgrade", "run": f"{night} | tee results/upgrade.json\n"},
        {"name": "Verify", "if": "success() || failure()", "run": f"{verdict}\n"},
        {
            "name": "Keep the results",
            "if": "always()",
            "uses": UPLOAD.use,
            "with": {"name": f"{NAME}-{job.environment}", "path": "results/", "if-no-files-found": "warn"},
        },
    ]


def _login(job: Job, provider: str) -> dict[str, Any]:
    selectors = job.cluster.selectors
    match job.cluster.cloud:
        case Cloud.EKS:
            return {
                "role-to-assume": job.principal,
                "aws-region": _needed(selectors, "region"),
                "role-duration-seconds": max(job.deadline, 900),
            }
        case Cloud.AKS:
            return {
                "client-id": job.principal,
                "tenant-id": _needed(selectors, "tenant"),
                "subscription-id": _needed(selectors, "subscription"),
            }
        case _:
            check_provider(provider)
            return {"workload_identity_provider": provider, "service_account": job.principal}


def _needed(selectors: Mapping[str, str], key: str) -> str:
    """A selector of the environment's cluster, which is not a GitHub expression; raises UsageError where it is missing."""
    if not (value := selectors.get(key, "")) or "$" in value:
        raise UsageError(
            f"the environment's cluster has no {key}, and the login needs it", f"write cluster: {{{key}: ...}} into meshinstall.yaml"
        )
    return value
