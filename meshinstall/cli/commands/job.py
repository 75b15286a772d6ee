"""The command ``job render``: the files of a job that upgrades at night."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.request_options import CLOUD, CONFIG, ENVIRONMENT, PROFILE, SELECTORS, requesting
from meshinstall.cli.settings import HELP
from meshinstall.cli.target import read, tell
from meshinstall.errors import UsageError
from meshinstall.jobs.terms import NAME, EksIdentity, Job
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.config.project import Project
    from meshinstall.jobs.cronjob import Place

job = typer.Typer(
    help="Write the files of a job that upgrades at night, for Kubernetes or GitHub Actions.",
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=HELP,
)
app.add_typer(job, name="job")


class Kind(StrEnum):
    """What runs the job."""

    CRONJOB = "cronjob"
    GITHUB = "github"
    DRILL = "drill"


@job.callback()
def group() -> None:
    """Write the files of a job that upgrades at night, for Kubernetes or GitHub Actions."""


@job.command()
@requesting(ENVIRONMENT, CLOUD, CONFIG, PROFILE, last=SELECTORS)
def render(
    request: Request,
    *,
    kind: Annotated[
        Kind,
        typer.Option("--kind", help="What runs it: Kubernetes in the cluster itself, or GitHub Actions; drill restores a snapshot there."),
    ],
    image: Annotated[str, typer.Option("--image", help="Image with meshinstall and helm, by digest: NAME@sha256:... (cronjob).")] = "",
    namespace: Annotated[str, typer.Option("--namespace", help="Namespace of the job, which must exist (cronjob).")] = NAME,
    workloads: Annotated[
        list[str] | None,
        typer.Option("--workloads", help="Namespace whose workloads the job may restart; may be repeated (cronjob)."),
    ] = None,
    principal: Annotated[
        str, typer.Option("--principal", help="Who the job is: a role's ARN (eks), a client ID (aks), a service account's e-mail (gke).")
    ] = "",
    object_id: Annotated[
        str, typer.Option("--object-id", help="Object ID of that client, by which the cluster knows it (aks, cronjob).")
    ] = "",
    identity: Annotated[EksIdentity, typer.Option("--identity", help="How a pod gets its role (eks, cronjob).")] = EksIdentity.POD_IDENTITY,
    provider: Annotated[str, typer.Option("--provider", help="Workload identity provider, by its full name (gke, github).")] = "",
    requirements: Annotated[
        str, typer.Option("--requirements", help="File in the repository that pins meshinstall by hashes (github).")
    ] = "requirements.txt",
    snapshot: Annotated[str, typer.Option("--snapshot", help="Folder of a snapshot in the repository (drill).")] = "",
    key: Annotated[str, typer.Option("--key", help="Public key in the repository of whoever signed it (drill).")] = "",
    schedule: Annotated[str, typer.Option("--schedule", help="When it starts: minute, hour, day, month, weekday.")] = "0 2 * * *",
    time_zone: Annotated[str, typer.Option("--time-zone", help="Time zone of the schedule (cronjob).")] = "Etc/UTC",
    deadline: Annotated[str, typer.Option("--deadline", help="When it is ended, counted from its start, such as 90m.")] = "2h",
) -> None:
    """Write a CronJob with its account, rights and files, or a workflow of GitHub Actions; without any secret, and without a cluster.

    Commands that somebody has to run once go to stderr.
    """
    from meshinstall.jobs.cronjob import Place

    project, desired = read(request)
    asked = Job(
        environment=desired.environment,
        cluster=desired.cluster,
        schedule=schedule,
        zone=time_zone,
        deadline=int(options.duration("--deadline", deadline)),
        principal=principal,
        object_id=object_id,
        identity=identity,
    )
    if (snapshot or key) and kind is not Kind.DRILL:
        raise UsageError("--snapshot and --key are for --kind drill", "the nightly job takes no snapshot")
    if kind is not Kind.CRONJOB:
        if image or workloads or object_id:
            raise UsageError(
                "--image, --workloads and --object-id are for --kind cronjob", "a workflow installs --requirements on its runner"
            )
        _print_workflow(asked, requirements, provider, (snapshot, key) if kind is Kind.DRILL else None)
        return
    mesh = tuple(each.name for each in desired.namespaces)
    _print_cronjob(asked, Place(namespace=namespace, image=image, mesh=mesh, workloads=tuple(workloads or ())), project)


def _print_workflow(asked: Job, requirements: str, provider: str, drilled: tuple[str, str] | None) -> None:
    from meshinstall.jobs.text import workflow_text
    from meshinstall.jobs.workflow import Snapshot, drill_workflow, workflow

    found = drill_workflow(asked, requirements, provider, Snapshot(*drilled)) if drilled else workflow(asked, requirements, provider)
    typer.echo(workflow_text(found), nl=False)


def _print_cronjob(asked: Job, place: "Place", project: "Project") -> None:
    from meshinstall.config.own_files import own_files
    from meshinstall.jobs.cronjob import cronjob
    from meshinstall.model.yaml_dump import dump_all

    found = cronjob(asked, place, own_files(project))
    typer.echo(dump_all(found.objects), nl=False)
    if found.once:
        tell("run once, as somebody who may:\n" + "\n".join(f"  {line}" for line in found.once))
