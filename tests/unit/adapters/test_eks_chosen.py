"""What chooses an AWS identity: options, variables and profiles, in the SDK's order, and what another shell needs for the same choice."""

from typing import Any

import pytest

from meshinstall.adapters.eks.chosen import choose
from meshinstall.errors import UsageError

KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"}
WEB = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/var/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/pod"}
POD = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/pod"}
ROLE = {"role_arn": "arn:aws:iam::1:role/night", "source_profile": "default"}
PROFILES: dict[str, dict[str, Any]] = {"night": ROLE, "bare": {"region": "eu-west-1"}, "default": {"aws_access_key_id": "AKIA"}}


@pytest.mark.parametrize(
    ("selectors", "environ", "by", "chosen"),
    [
        ({"profile": "night"}, {}, "profile night, role arn:aws:iam::1:role/night", {"profile": "night"}),
        ({"profile": "night"}, KEYS, "profile night, role arn:aws:iam::1:role/night", {"profile": "night"}),
        ({}, {"AWS_PROFILE": "night"}, "AWS_PROFILE=night, role arn:aws:iam::1:role/night", {"profile": "night"}),
        (
            {},
            {"AWS_PROFILE": "bare", "AWS_DEFAULT_PROFILE": "night"},
            "AWS_DEFAULT_PROFILE=night, role arn:aws:iam::1:role/night",
            {"profile": "night"},
        ),
        ({}, {"AWS_PROFILE": "gone"}, "AWS_PROFILE=gone", {"profile": "gone"}),
        ({}, {}, "profile default", {"profile": "default"}),
        ({}, {"AWS_PROFILE": ""}, "profile default", {"profile": "default"}),
        ({}, KEYS, "the keys in AWS_ACCESS_KEY_ID", {"login": "environment", "profile": "default"}),
        ({}, {**KEYS, "AWS_PROFILE": "bare"}, "the keys in AWS_ACCESS_KEY_ID", {"login": "environment", "profile": "bare"}),
        ({}, WEB, "AWS_WEB_IDENTITY_TOKEN_FILE", {"login": "web-identity", "profile": "default"}),
        ({}, {**WEB, "AWS_PROFILE": "night"}, "AWS_PROFILE=night, role arn:aws:iam::1:role/night", {"profile": "night"}),
        ({}, {**POD, "AWS_PROFILE": "bare"}, "AWS_CONTAINER_CREDENTIALS_FULL_URI", {"login": "container", "profile": "bare"}),
        ({}, {"AWS_PROFILE": "bare"}, "instance metadata", {"login": "instance", "profile": "bare"}),
        (
            {"role_arn": "arn:aws:iam::1:role/a"},
            KEYS,
            "the keys in AWS_ACCESS_KEY_ID, role arn:aws:iam::1:role/a",
            {"login": "environment", "profile": "default"},
        ),
        ({"login": "environment"}, {**KEYS, "AWS_PROFILE": "night"}, "--login environment", {"login": "environment"}),
    ],
)
def test_what_chose_is_told_and_chosen_again(selectors: dict[str, str], environ: dict[str, str], by: str, chosen: dict[str, str]) -> None:
    found = choose(selectors, environ, PROFILES)
    assert found.by == by
    assert found.selectors == chosen
    again = choose({**selectors, **found.selectors}, {**environ, "AWS_PROFILE": "somebody-else"}, PROFILES)
    assert again.selectors == chosen


def test_nothing_at_all_is_the_sdks_to_find() -> None:
    assert choose({}, {"AWS_EC2_METADATA_DISABLED": "true"}, {}).selectors == {}
    assert choose({}, {}, {}).selectors == {"login": "instance"}


def test_an_unknown_login_is_refused() -> None:
    with pytest.raises(UsageError, match="'entra' is not a login of AWS"):
        choose({"login": "entra"}, {}, {})


def test_another_shell_gets_what_is_no_secret() -> None:
    settings = {
        "AWS_CA_BUNDLE": "/etc/ca.pem",
        "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        "AWS_ENDPOINT_URL_STS": "https://sts.example",
        "AWS_ENDPOINT_URL_EKS": "https://user:secret@eks.example",
    }
    found = choose({}, {**WEB, **settings, "AWS_ROLE_SESSION_NAME": "ann@example.com", "AWS_SECRET_ACCESS_KEY": "s"}, {})
    assert found.variables == {
        **WEB,
        "AWS_ROLE_SESSION_NAME": "ann@example.com",
        "AWS_CA_BUNDLE": "/etc/ca.pem",
        "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        "AWS_ENDPOINT_URL_STS": "https://sts.example",
    }
    assert found.secrets == ("AWS_ENDPOINT_URL_EKS",)
    assert choose({}, KEYS, {}).secrets == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert choose({}, {**POD, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"}, {}).secrets == ("AWS_CONTAINER_AUTHORIZATION_TOKEN",)


def test_the_files_of_a_profile_are_those_of_this_shell() -> None:
    files = choose({}, {"AWS_PROFILE": "night", "AWS_CONFIG_FILE": "/etc/aws/config"}, PROFILES).variables
    assert files == {"AWS_CONFIG_FILE": "/etc/aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}
