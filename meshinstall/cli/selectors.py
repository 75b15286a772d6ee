"""The options that name a managed cluster; without typer, for credential plugins."""

from collections.abc import Mapping

# For each option its key under ``cluster`` in meshinstall.yaml, and what it means.
OPTIONS: Mapping[str, tuple[str, str]] = {
    "cluster": ("name", "Name of the cluster (aks, eks, gke)."),
    "region": ("region", "Its region (eks)."),
    "aws_profile": ("profile", "Profile of the AWS configuration to use (eks)."),
    "role_arn": ("roleArn", "Role to assume for the cluster (eks)."),
    "external_id": ("externalId", "External id that the role's trust policy asks for (eks)."),
    "source_identity": ("sourceIdentity", "Source identity that the role's trust policy asks for (eks)."),
    "session_tags": ("sessionTags", "Tags of the role's session: key=value pairs with commas (eks)."),
    "resource_group": ("resourceGroup", "Its resource group (aks)."),
    "subscription": ("subscription", "Its subscription (aks)."),
    "tenant": ("tenant", "Its tenant, an ID or a domain; by default AZURE_TENANT_ID, then the login's own (aks)."),
    "login": (
        "login",
        "How its callers sign in, where that is known: entra (aks); environment, web-identity, container or instance (eks).",
    ),
    "project": ("project", "Its project (gke)."),
    "location": ("location", "Its region or zone (gke)."),
    "endpoint": ("endpoint", "Which way to its API server: dns, public, private or connect-gateway (gke); public or private (aks)."),
    "impersonate_service_account": (
        "impersonateServiceAccount",
        "Service account to act as; several with commas are a chain, the last is the one that acts (gke).",
    ),
    "quota_project": ("quotaProject", "Project that calls to Google are counted for (gke)."),
}


def read_selectors(given: Mapping[str, str]) -> dict[str, str]:
    """Of the options in ``given``, those that have a value, by the keys of the file."""
    return {key: value for name, (key, _) in OPTIONS.items() if (value := given.get(name, ""))}


def flags_of(keys: Mapping[str, str]) -> list[str]:
    """The options that stand for these keys of the file, as people type them."""
    from meshinstall.model.cluster_ref import flag

    return [flag(name) for name, (key, _) in OPTIONS.items() if key in keys]
