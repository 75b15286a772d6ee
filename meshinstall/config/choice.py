"""Chooses the environment, cloud, profile and cluster that a request names."""

from dataclasses import dataclass

from meshinstall.config.documents import Environment, ProfileFile, Project, Site, suggestion
from meshinstall.config.gateways import NamedGateway, Written, combine
from meshinstall.config.reference import find_foreign_options, reference
from meshinstall.errors import Problem
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.request import Request
from meshinstall.model.values import KeyPath, LayerKind


@dataclass(frozen=True, slots=True)
class Choice:
    """The environment on its cloud; ``profiles`` are the files that make up the profile, lowest first."""

    name: str
    environment: Environment
    cloud: Cloud
    site: Site
    site_path: tuple[str, ...]
    profile: str
    profiles: tuple[ProfileFile, ...]
    gateways: tuple[NamedGateway, ...]

    @property
    def places(self) -> tuple[tuple[LayerKind, KeyPath], ...]:
        """Where in meshinstall.yaml a setting of the project may stand again for this choice, the nearer later."""
        environment = ("environments", self.name)
        site = ((LayerKind.CLUSTER, self.site_path),) if self.site_path != environment else ()
        return ((LayerKind.PROJECT, ()), (LayerKind.ENVIRONMENT, environment), *site)


def choose(request: Request, project: Project, problems: list[Problem]) -> Choice | None:
    """Choose, or add to ``problems`` what does not exist and return None."""
    name = request.environment
    if name not in project.environments:
        problems.append(Problem("--env", 0, 0, f"there is no environment {name!r}", suggestion(name, project.environments)))
        return None
    environment = project.settings.environments.get(name, Environment())
    profile = request.profile or environment.profile or project.settings.profile
    if profile not in project.profiles:
        problems.append(Problem("--profile", 0, 0, f"there is no profile {profile!r}", suggestion(profile, tuple(project.profiles))))
    cloud = _cloud(request, project, environment, problems)
    if cloud:
        problems += find_foreign_options(request.cluster, cloud)
    if cloud is None or problems:
        return None
    path = ("environments", name, "clouds", cloud) if cloud in environment.clouds else ("environments", name)
    chain = _chain(project, profile)
    return Choice(
        name,
        environment,
        cloud,
        environment.clouds.get(cloud) or Site(environment.cluster),
        path,
        profile,
        chain,
        _gateways(project, name, environment, chain),
    )


def cluster(request: Request, project: Project, choice: Choice) -> ClusterRef:
    """The cluster of the choice; a relative kubeconfig path starts at the folder of the file that names it."""
    written = {**choice.site.cluster, **request.cluster}
    base = request.folder if "kubeconfig" in request.cluster else project.folder
    return reference(choice.cloud, written, base)


def _cloud(request: Request, project: Project, environment: Environment, problems: list[Problem]) -> Cloud | None:
    written = (environment.cloud,) if environment.cloud else tuple(environment.clouds)
    if request.cloud:
        if written and request.cloud not in written:
            place = project.document.place(("environments", request.environment))
            text = f"the environment {request.environment} is on {', '.join(written)}, not on {request.cloud}"
            problems.append(Problem(project.document.source, *place, text, "choose another --env or --cloud, or add it to the environment"))
        return request.cloud
    if len(written) != 1:
        several = f"is on several clouds ({', '.join(written)})" if written else "has no cloud in meshinstall.yaml"
        text = f"required: the environment {request.environment} {several}"
        problems.append(Problem("--cloud", 0, 0, text, f"use one of: {', '.join(written or Cloud)}"))
        return None
    return written[0]


def _chain(project: Project, name: str) -> tuple[ProfileFile, ...]:
    """Files of the profiles that ``name`` extends, then its own; each once."""
    files: dict[str, ProfileFile] = {}
    for file in project.profiles[name]:
        if file.profile.extends:
            files |= {each.document.source: each for each in _chain(project, file.profile.extends)}
    files |= {file.document.source: file for file in project.profiles[name]}
    return tuple(files.values())


def _gateways(project: Project, name: str, environment: Environment, chain: tuple[ProfileFile, ...]) -> tuple[NamedGateway, ...]:
    return combine(
        [
            *(Written(LayerKind.PROFILE, file.document, ("gateways",), file.profile.gateways) for file in chain),
            Written(LayerKind.ENVIRONMENT, project.document, ("environments", name, "gateways"), environment.gateways),
        ]
    )
