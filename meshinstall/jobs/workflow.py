"""Workflows of GitHub Actions for nights and for drills, signed in by OIDC: no secret is in them, nor in the repository's settings."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from meshinstall.errors import UsageError
from meshinstall.jobs.terms import NAME, Job, check_job, check_provider, check_reach
from meshinstall.model.cluster_ref import Cloud, flag

_MINUTE = 60
# GitHub ends a job of its own runners after six hours.
_LONGEST = 360
_PROGRAM = "venv/bin/meshinstall"


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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a drill makes a mesh of: paths of a snapshot and of the public key of who signed it, in the repository."""

    folder: str
    key: str


def workflow(job: Job, requirements: str, provider: str = "") -> dict[str, Any]:
    """The nights' file; ``requirements`` pins meshinstall with hashes, ``provider`` is Google's. Raises UsageError for what cannot be."""
    _check(job)
    return _file(job, "upgrade", NAME, [*_start(job, requirements, provider), *_night(job), _keep(job, NAME)])


def drill_workflow(job: Job, requirements: str, provider: str, snapshot: Snapshot) -> dict[str, Any]:
    """The file of the drills, on the cluster of the job, which is no other than a drill's; raises UsageError for what cannot be."""
    _check(job)
    for flag_name, path in (("--snapshot", snapshot.folder), ("--key", snapshot.key)):
        if not path or path.startswith(("/", "-")) or "$" in path or ".." in path.split("/") or not path.isprintable():
            raise UsageError(f"{flag_name} {path!r}: not a path in the repository", "name one from the repository's root: snapshots/prod")
    name = f"{NAME}-drill"
    return _file(job, "drill", name, [*_start(job, requirements, provider), _drill(job, snapshot), _keep(job, name)])


def _check(job: Job) -> None:
    check_job(job)
    check_reach(job.cluster)
    if job.cluster.cloud is Cloud.LOCAL:
        raise UsageError(
            "a workflow needs --cloud aks, eks or gke", "GitHub's OIDC tokens open managed clusters; elsewhere use --kind cronjob"
        )
    if job.zone != "Etc/UTC":
        raise UsageError(
            "--time-zone is for --kind cronjob", "GitHub's schedules are in UTC; windows in meshinstall.yaml have time zones of their own"
        )


def _file(job: Job, does: str, name: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    minutes = min(job.deadline // _MINUTE, _LONGEST)
    return {
        "name": f"{name} {job.environment}",
        "on": {"schedule": [{"cron": job.schedule}], "workflow_dispatch": {}},
        "permissions": {},
        # A run that is at work is never ended by the next one.
        "concurrency": {"group": f"{name}-{job.environment}", "cancel-in-progress": False},
        "jobs": {
            does: {
                "runs-on": "ubuntu-24.04",
                "environment": job.environment,
                "permissions": {"contents": "read", "id-token": "write"},
                "timeout-minutes": minutes,
                "defaults": {"run": {"shell": "bash"}},
                "steps": steps,
            }
        },
    }


def _start(job: Job, requirements: str, provider: str) -> list[dict[str, Any]]:
    install = shlex.join(("venv/bin/pip", "install", "--require-hashes", "--only-binary", ":all:", "--requirement", requirements))
    return [
        {"uses": CHECKOUT.use, "with": {"persist-credentials": False}},
        # Before the login: what an installation runs does not see it.
        {"name": "Install", "run": f"mkdir results\npython3 -m venv venv\n{install}\n"},
        {"name": "Sign in", "uses": LOGINS[job.cluster.cloud].use, "with": _login(job, provider)},
    ]


def _night(job: Job) -> list[dict[str, Any]]:
    night = shlex.join((_PROGRAM, *job.arguments, "--output", "json"))
    verdict = shlex.join((_PROGRAM, "verify", "--read-only", *_where(job), "--junit", "results/verify.xml"))
    return [
        {"name": "Upgrade", "run": f"{night} | tee results/upgrade.json\n"},
        {"name": "Verify", "if": "success() || failure()", "run": f"{verdict}\n"},
    ]


def _drill(job: Job, snapshot: Snapshot) -> dict[str, Any]:
    """The CA stays sealed: its private key is nothing that a runner may have. Without workloads their ports are not proven."""
    named = [(flag(key), value) for key, value in sorted(job.cluster.selectors.items())]
    where = (*_where(job), *(("--cluster", job.cluster.name) if job.cluster.name else ()), *(word for pair in named for word in pair))
    terms = ("--drill", "--yes", "--allow", "new-root", "--html", "results/drill.html", "--output", "json")
    command = shlex.join((_PROGRAM, "restore", snapshot.folder, "--key", snapshot.key, *where, *terms))
    lines = (
        "status=0",
        f"{command} > results/drill.json || status=$?",
        'if [ "$status" = 5 ]; then',
        "  echo '::notice::not all of it was proven: results/drill.html says what'",
        "  status=0",
        "fi",
        'exit "$status"',
    )
    return {"name": "Drill", "run": "".join(f"{line}\n" for line in lines)}


def _where(job: Job) -> tuple[str, ...]:
    return ("--cloud", job.cluster.cloud.value, "--env", job.environment)


def _keep(job: Job, name: str) -> dict[str, Any]:
    return {
        "name": "Keep the results",
        "if": "always()",
        "uses": UPLOAD.use,
        "with": {"name": f"{name}-{job.environment}", "path": "results/", "if-no-files-found": "warn"},
    }


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
