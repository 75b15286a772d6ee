"""Secrets in configuration are found by shape or by name, and never repeated."""

import pytest

from meshinstall.config.secrets import find_secrets
from meshinstall.config.source import Document, parse
from meshinstall.model.chart import ChartFiles
from meshinstall.model.secrets import shape


def found(text: str) -> list[str]:
    return [str(problem) for problem in find_secrets(parse(text, "a.yaml", []))]


# Assembled here, so that no scanner takes this file for a leak.
SHAPES = {
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "an AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "a JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiJtZSJ9abc.sig",
    "a bearer token": "Bearer " + "abcdefghijklmnop1234",
    "a GitHub token": "ghp_" + "a" * 36,
    "a Google API key": "AIza" + "b" * 35,
    "an Azure storage key": "AccountKey=" + "c" * 44,
    "a password in a URL": "https://me:" + "hunter2@example.com",
}


@pytest.mark.parametrize("what", SHAPES)
def test_a_secret_is_known_by_its_shape_under_any_key(what: str) -> None:
    (problem,) = found(f"x:\n  y: ['{SHAPES[what]}']\n")
    assert problem == f"a.yaml:2:7: x.y.0 looks like {what}; secrets are not allowed in files or flags"
    assert SHAPES[what] not in problem


@pytest.mark.parametrize("around", ["{}", "x-{}", "a_b.{} c", "eyJ-{}", "token={}&x"])
def test_a_token_is_known_wherever_it_begins(around: str) -> None:
    assert shape(around.format(SHAPES["a JSON web token"])) == "a JSON web token"


def test_a_text_of_many_beginnings_of_tokens_is_searched_at_once() -> None:
    """A tenant writes it; a search from each beginning to the end would take minutes."""
    assert shape("eyJ-" * 250_000) == ""
    assert shape("eyJ-" * 250_000 + ".eyJ-") == ""


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter2",
        "dbPassword: hunter2",
        "env: {API_TOKEN: hunter2}",
        "accessToken: hunter2",
        "client-secret: hunter2",
        "secret: hunter2",
        "aws_secret_access_key: hunter2",
        "env: [{name: DB_PASSWORD, value: hunter2}]",
    ],
)
def test_a_secret_is_known_by_its_name(text: str) -> None:
    (problem,) = found(text)
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "text",
    [
        "imagePullSecrets: [registry]",
        "existingSecret: login",
        "secretName: login",
        "env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: login, key: password}}}]",
        "password: ${DB_PASSWORD}",
        "password: ''",
        "token: {aud: istio-ca}",
        "token: /var/run/secrets/tokens/istio-token",
        "tokenAudience: istio-ca",
        "credentialName: tls-secret",
        "ca: '-----BEGIN CERTIFICATE-----'",
        "key: value",
        "url: https://example.com:443/a@b",
    ],
)
def test_references_and_harmless_words_pass(text: str) -> None:
    assert not found(text)


@pytest.mark.tools
def test_istios_own_charts_hold_no_secret(charts: dict[str, ChartFiles]) -> None:
    for chart in charts.values():
        for text in (chart.values, *chart.profiles.values()):
            document: Document = parse(text, "chart", [])
            assert not list(find_secrets(document))
