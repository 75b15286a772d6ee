"""Gives commands the options that they share, as one Request."""

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from meshinstall.cli.selectors import OPTIONS, read_selectors
from meshinstall.model.cluster_ref import Cloud, flag
from meshinstall.model.request import Request

# Options by the parameters that they fill: annotation and default.
Options = Mapping[str, tuple[Any, Any]]

_REQUIRED = inspect.Parameter.empty

ENVIRONMENT: Options = {
    "env": (Annotated[str, typer.Option("--env", help="Environment: dev, staging, prod or one of yours.")], _REQUIRED),
}
SAVED_ENVIRONMENT: Options = {
    "env": (Annotated[str, typer.Option("--env", help="Environment: dev, staging, prod or one of yours; --plan carries its own.")], ""),
}
OWN_ENVIRONMENT: Options = {
    "env": (Annotated[str, typer.Option("--env", help="Environment: dev, staging, prod or one of yours.")], ""),
}
ANY_ENVIRONMENT: Options = {
    "env": (
        Annotated[
            str, typer.Option("--env", help="Environment whose cluster to use; without it the current context, or --cloud and --cluster.")
        ],
        "",
    ),
}
MANAGED_ENVIRONMENT: Options = {
    "env": (Annotated[str, typer.Option("--env", help="Environment whose cluster to use, instead of naming the cluster.")], ""),
}
CLOUD: Options = {
    "cloud": (
        Annotated[Cloud | None, typer.Option("--cloud", help="Where the cluster runs; local is any cluster of your kubeconfig.")],
        None,
    ),
}
CONTEXT: Options = {
    "context": (Annotated[str, typer.Option("--context", help="Context of the kubeconfig; the current one by default.")], ""),
    "kubeconfig": (
        Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig file; KUBECONFIG or ~/.kube/config by default.")],
        None,
    ),
}
CONFIG: Options = {
    "config": (
        Annotated[Path | None, typer.Option("--config", help="meshinstall.yaml or its folder; found in this folder or above by default.")],
        None,
    ),
}
PROFILE: Options = {
    "profile": (Annotated[str | None, typer.Option("--profile", help="minimal, default, production, ambient or one of yours.")], None),
}
CHARTS: Options = {
    "charts": (
        Annotated[str | None, typer.Option("--charts", help="Where charts come from: oci://..., https://... or a folder.")],
        None,
    ),
    "istio_version": (
        Annotated[str | None, typer.Option("--istio-version", help="Version of Istio to install: in full, or a minor such as 1.31.")],
        None,
    ),
}
VALUES: Options = {
    "values": (Annotated[list[str] | None, typer.Option("-f", "--values", help="RELEASE=FILE with more values; may be repeated.")], None),
    "set_": (Annotated[list[str] | None, typer.Option("--set", help="RELEASE.KEY=VALUE; may be repeated.")], None),
    "set_string": (
        Annotated[list[str] | None, typer.Option("--set-string", help="RELEASE.KEY=TEXT, never a number; may be repeated.")],
        None,
    ),
}
SELECTORS: Options = {name: (Annotated[str, typer.Option(flag(name), help=text)], "") for name, (_, text) in OPTIONS.items()}

# What most commands take: a cluster, and what is to be installed on it.
CLUSTER: Options = {**CLOUD, **CONTEXT, **CONFIG}
DESIRED: Options = {**PROFILE, **CHARTS, **VALUES}


def requesting(*first: Options, last: Options | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options, before and after its own; it gets all of them as its parameter ``request``."""
    before = [_parameter(name, *option) for options in first for name, option in options.items()]
    after = [_parameter(name, *option) for name, option in (last or {}).items()]
    names = [parameter.name for parameter in (*before, *after)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "request"]

        @functools.wraps(command)
        def wrapped(**given: Any) -> None:
            shared = {name: given.pop(name) for name in names}
            command(request=_request(shared), **given)

        arguments = [parameter for parameter in own if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
        options = [parameter for parameter in own if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*arguments, *before, *options, *after)]
        # What typer reads.
        wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return decorate


def arguments(request: Request, *, cluster: bool = True) -> tuple[str, ...]:
    """The options that ask for the same, for a command that is to be copied; ``cluster``: with those that say which cluster."""
    given: list[tuple[str, object]] = [("--cloud", request.cloud), ("--env", request.environment), ("--config", request.config)]
    given += [("--profile", request.profile), ("--charts", request.charts)]
    given += [("--values", one) for one in request.files]
    given += [("--set", one) for one in request.sets] + [("--set-string", one) for one in request.set_strings]
    if cluster:
        given += [(f"--{name}", request.cluster.get(name)) for name in ("context", "kubeconfig")]
        given += [(flag(name), request.cluster.get(key)) for name, (key, _) in OPTIONS.items()]
    return tuple(text for name, value in given if value for text in (name, str(value)))


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _request(given: Mapping[str, Any]) -> Request:
    cluster = {"context": given.get("context", ""), "kubeconfig": str(given.get("kubeconfig") or ""), **read_selectors(given)}
    return Request(
        environment=given.get("env", ""),
        cloud=given.get("cloud"),
        config=given.get("config"),
        profile=given.get("profile"),
        files=tuple(given.get("values") or ()),
        sets=tuple(given.get("set_") or ()),
        set_strings=tuple(given.get("set_string") or ()),
        cluster={key: value for key, value in cluster.items() if value},
        charts=given.get("charts"),
        istio_version=given.get("istio_version"),
    )
