"""The options that name a managed cluster: the same on every command that reaches one."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from meshinstall.model.cluster import flag

Selectors = Mapping[str, str]

# For each option its key under ``cluster`` in meshinstall.yaml, and what it means.
OPTIONS: Mapping[str, tuple[str, str]] = {
    "cluster": ("name", "Name of the cluster (aks, eks, gke)."),
    "region": ("region", "Its region (eks)."),
    "aws_profile": ("profile", "Profile of the AWS configuration to use (eks)."),
    "role_arn": ("roleArn", "Role to assume for the cluster (eks)."),
    "resource_group": ("resourceGroup", "Its resource group (aks)."),
    "subscription": ("subscription", "Its subscription (aks)."),
    "login": ("login", "How its callers sign in, where that is known: entra (aks)."),
    "project": ("project", "Its project (gke)."),
    "location": ("location", "Its region or zone (gke)."),
    "endpoint": ("endpoint", "Which way to its API server: dns, public, private or connect-gateway (gke)."),
}


def used(named: Mapping[str, str]) -> Selectors:
    """Of the options in ``named``, those that were given, by the keys of the file."""
    return {key: value for name, (key, _) in OPTIONS.items() if (value := named[name])}


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each way to name a cluster; it gets those that were used as ``selectors``, by their keys."""
    signature = inspect.signature(command)
    kept = [parameter for parameter in signature.parameters.values() if parameter.name != "selectors"]
    options = [_parameter(name, text) for name, (_, text) in OPTIONS.items()]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        named = {name: given.pop(name) for name in OPTIONS}
        command(**given, selectors=used(named))

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*kept, *options)]
    # What typer reads.
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapped


def _parameter(name: str, text: str) -> inspect.Parameter:
    import typer

    option = typer.Option(flag(name), help=text, rich_help_panel="Which cluster")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default="", annotation=Annotated[str, option])
