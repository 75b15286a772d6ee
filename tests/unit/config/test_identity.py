"""identity of meshinstall.yaml: each kind of provider with its keys, and each known trap with its line."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.errors import ConfigError
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Desired
from meshinstall.model.request import Request
from tests.unit.config.projects import HEAD, resolved

Write = Callable[[Mapping[str, str]], Path]

TENANT = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
V1, V2 = f"https://sts.windows.net/{TENANT}/", f"https://login.microsoftonline.com/{TENANT}/v2.0"
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123"
EKS = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
GKE = "https://container.googleapis.com/v1/projects/shop/locations/europe-west1-b/clusters/prod"
KEYS = "https://sso.example.com/certs"
TOKENS = "identity: {namespace: shop, name: web, annotations: {meshinstall.dev/owner: shop}}\nproviders: [staff]\n"
SELECTED = "selector: {matchLabels: {app: web}}\nrule: {forwardOriginalToken: true}\n"


def provider(kind: str, issuer: str, more: str = "audiences: [web]") -> str:
    """meshinstall.yaml with one provider, on its third line."""
    return f"{HEAD}identity:\n  staff: {{type: {kind}, issuer: {issuer!r}{', ' if more else ''}{more}}}\n"


def refused(write: Write, files: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(write(files))
    return caught.value.message.splitlines()


@pytest.mark.parametrize(
    ("kind", "issuer", "more", "keys"),
    [
        ("okta", "https://shop.okta.com/oauth2/default", "audiences: [web]", "https://shop.okta.com/oauth2/default/v1/keys"),
        ("okta", "https://shop.okta.com", "tokens: id, audiences: [web]", "https://shop.okta.com/oauth2/v1/keys"),
        ("entra", V1, "tokenVersion: 1, audiences: ['api://web']", "https://login.microsoftonline.com/common/discovery/keys"),
        ("entra", V2, f"tokenVersion: 2, audiences: [{TENANT}]", f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys"),
        ("cognito", POOL, "", f"{POOL}/.well-known/jwks.json"),
        ("cognito", POOL, "tokens: id, audiences: [web]", f"{POOL}/.well-known/jwks.json"),
        ("eks", EKS, "audiences: [web]", f"{EKS}/keys"),
        ("gke", GKE, "audiences: [web]", f"{GKE}/jwks"),
        ("google", "https://accounts.google.com", "audiences: [web]", "https://www.googleapis.com/oauth2/v3/certs"),
        ("auth0", "https://shop.eu.auth0.com/", "audiences: [web]", "https://shop.eu.auth0.com/.well-known/jwks.json"),
        ("generic", "https://sso.example.com/", f"audiences: [web], subject: false, jwksUri: '{KEYS}'", KEYS),
    ],
)
def test_each_kind_knows_where_its_keys_are(write: Write, kind: str, issuer: str, more: str, keys: str) -> None:
    (found,) = resolved(write({"meshinstall.yaml": provider(kind, issuer, more)})).identity
    assert found.issuer == issuer
    assert found.keys == keys
    assert str(found.origin) == "meshinstall.yaml:3"


@pytest.mark.parametrize(
    ("kind", "issuer", "more", "said"),
    [
        ("okta", "https://shop-admin.okta.com/oauth2/default", "audiences: [web]", "the address of Okta's administrators"),
        ("okta", "https://shop.okta.com/oauth2/default/", "audiences: [web]", "without a slash at the end"),
        ("okta", "https://shop.okta.com", "audiences: [web]", "access tokens of Okta's org server are for Okta alone"),
        ("entra", "https://login.microsoftonline.com/common/v2.0", "tokenVersion: 2, audiences: [web]", "names its tenant by ID"),
        ("entra", V1[:-1], "tokenVersion: 1, audiences: [web]", "of version 1 ends with a slash"),
        ("entra", f"{V2}/", "tokenVersion: 2, audiences: [web]", "of version 2 ends with v2.0, without a slash"),
        ("entra", V2[:-5], "tokenVersion: 2, audiences: [web]", "where Entra signs people in"),
        ("entra", V2, "audiences: [web]", "tokenVersion: is missing"),
        ("entra", V2, "tokenVersion: 1, audiences: [web]", "tokens of version 1 have the issuer https://sts.windows.net/"),
        ("entra", V1, "tokenVersion: 2, audiences: [web]", "tokens of version 2 have the issuer https://login.microsoftonline.com/"),
        ("entra", V2, "tokenVersion: 2, audiences: ['api://web']", "the application's ID, never its URI"),
        ("google", "https://accounts.google.com", "tokenVersion: 2, audiences: [web]", "only tokens of Entra have a version"),
        ("cognito", POOL, "audiences: [web]", "access tokens of Cognito have no aud"),
        ("cognito", f"{POOL}/", "", "no slash at the end"),
        ("cognito", POOL.replace("idp.eu-west-1", "idp.eu-west-2"), "", "the pool is one of eu-west-1"),
        ("cognito", "https://shop.auth.eu-west-1.amazoncognito.com", "", "the page where people sign in"),
        ("eks", f"{EKS}/", "audiences: [web]", "without a slash at the end"),
        ("eks", EKS, "audiences: [sts.amazonaws.com]", "who gets one here can use it there"),
        ("gke", GKE.replace("locations", "zones"), "audiences: [web]", "the issuer of a GKE cluster is"),
        ("gke", GKE, "tokens: id, audiences: [web]", "these are tokens of service accounts"),
        ("google", "https://accounts.google.com/", "audiences: [web]", "without a slash at the end"),
        ("google", "https://accounts.google.com", "tokens: access, audiences: [web]", "Google's access tokens are not JWTs"),
        ("auth0", "https://shop.eu.auth0.com", "audiences: [web]", "with a slash at the end"),
        ("auth0", "https://shop.eu.auth0.com/", "audiences: ['https://shop.eu.auth0.com/userinfo']", "who gets one here can use it there"),
        ("auth0", "https://shop.eu.auth0.com/", "", "audiences: is missing"),
        ("auth0", "https://shop.eu.auth0.com/", "audiences: [' ']", "an audience is empty"),
        ("okta", "https://shop.okta.com/oauth2/default", "audiences: [web], subject: false", "tokens of okta have a sub"),
        ("generic", "https://sso.example.com", "audiences: [web]", "jwksUri: is missing"),
        ("generic", "http://sso.example.com", f"audiences: [web], jwksUri: '{KEYS}'", "an issuer of OpenID Connect has https"),
        ("generic", "sso.example.com", f"audiences: [web], jwksUri: '{KEYS}'", "not an https:// address"),
        ("generic", "https://sso.example.com/?x=1", f"audiences: [web], jwksUri: '{KEYS}'", "no query, fragment, login or space"),
        ("generic", "https://[", f"audiences: [web], jwksUri: '{KEYS}'", "this is not an address"),
        ("generic", "https://a.b/.well-known/openid-configuration", "audiences: [web]", "the address of the discovery document"),
        ("generic", "https://a.b", "audiences: [web], jwksUri: 'http://a.b/keys'", "keys without TLS"),
        ("generic", "https://a.b", "audiences: [web], jwksUri: 'https://[/keys'", "must be an https:// address"),
        ("generic", "https://a.b", "audiences: [web], jwksUri: '{\"keys\": []}'", "a key itself has no place here"),
        ("generic", "https://a.b", "audiences: [web], jwksUri: 'https://a.b/.well-known/openid-configuration'", "and not the keys"),
        (
            "okta",
            "https://a.okta.com/oauth2/x",
            "audiences: [web], jwksUri: 'https://a.b/keys'",
            "the keys of this issuer are at https://a.okta",
        ),
    ],
)
def test_each_known_trap_is_refused_with_its_line(write: Write, kind: str, issuer: str, more: str, said: str) -> None:
    (problem,) = refused(write, {"meshinstall.yaml": provider(kind, issuer, more)})
    assert problem.startswith("meshinstall.yaml:3:")
    assert said in problem


def test_a_secret_has_no_field_and_no_place(write: Write) -> None:
    problems = refused(write, {"meshinstall.yaml": provider("auth0", "https://a.auth0.com/", "audiences: [web], clientSecret: hunter2")})
    assert "unknown key 'clientSecret'" in problems[0]
    assert "looks like a secret" in problems[1]
    assert "hunter2" not in "".join(problems)


def test_a_private_key_in_a_layer_is_refused_though_a_patch_brings_it(write: Write) -> None:
    private = '{"keys": [{"kty": "EC", "d": "bm90LWEtcmVhbC1zZWNyZXQ"}]}'
    patch = "patch: {kind: RequestAuthentication, namespace: shop, name: web}\noperations:\n"
    patch += "  - {op: test, path: /spec/jwtRules/0/issuer, value: 'https://shop.okta.com/oauth2/default'}\n"
    files = {"meshinstall.yaml": provider("okta", "https://shop.okta.com/oauth2/default"), "policies/base/web.yaml": TOKENS}
    (problem,) = refused(
        write, files | {"policies/envs/dev/web.yaml": f"{patch}  - {{op: add, path: /spec/jwtRules/0/jwks, value: '{private}'}}\n"}
    )
    assert problem.startswith("policies/envs/dev/web.yaml:4:")
    assert "looks like a private JSON web key" in problem


def test_a_secret_that_only_the_whole_object_shows_is_refused(write: Write) -> None:
    patch = "patch: {kind: RequestAuthentication, namespace: shop, name: web}\noperations:\n"
    patch += "  - {op: test, path: /spec/jwtRules/0/issuer, value: 'https://shop.okta.com/oauth2/default'}\n"
    patch += "  - {op: add, path: /spec/jwtRules/0/clientSecret, value: hunter2}\n"
    files = {"meshinstall.yaml": provider("okta", "https://shop.okta.com/oauth2/default"), "policies/base/web.yaml": TOKENS}
    (problem,) = refused(write, files | {"policies/envs/dev/web.yaml": patch})
    assert "spec.jwtRules.0.clientSecret looks like a secret" in problem


def test_a_file_names_providers_and_its_object_has_what_they_say(write: Write) -> None:
    files = {"meshinstall.yaml": provider("okta", "https://shop.okta.com/oauth2/default"), "policies/base/web.yaml": TOKENS + SELECTED}
    layered = resolved(write(files)).layered
    assert layered is not None
    (policy,) = layered
    assert policy.manifest["kind"] == "RequestAuthentication"
    assert policy.manifest["metadata"]["annotations"]["meshinstall.dev/owner"] == "shop"
    assert policy.manifest["spec"] == {
        "selector": {"matchLabels": {"app": "web"}},
        "jwtRules": [
            {
                "issuer": "https://shop.okta.com/oauth2/default",
                "jwksUri": "https://shop.okta.com/oauth2/default/v1/keys",
                "audiences": ["web"],
                "forwardOriginalToken": True,
            }
        ],
    }
    rule = ("spec", "jwtRules", 0)
    assert str(policy.origin_of((*rule, "issuer"))) == "meshinstall.yaml:3"
    assert str(policy.origin_of((*rule, "forwardOriginalToken"))) == "policies/base/web.yaml:4"
    assert str(policy.origin_of(("spec", "selector"))) == "policies/base/web.yaml:3"


def test_the_nearest_provider_of_a_name_counts_and_null_takes_one_away(write: Write) -> None:
    text = provider("google", "https://accounts.google.com") + f"  old: {{type: eks, issuer: '{EKS}', audiences: [web]}}\n"
    text += "environments:\n  prod:\n    identity: {old: null}\n    clouds:\n"
    text += f"      gke: {{cluster: {{name: a}}, identity: {{staff: {{type: gke, issuer: '{GKE}', audiences: [web]}}}}}}\n"
    folder = write({"meshinstall.yaml": text, "policies/base/web.yaml": TOKENS})

    def of(environment: str, cloud: Cloud) -> Desired:
        return resolve(Request(environment=environment, cloud=cloud, folder=folder), load_project(None, {}, folder))

    assert [one.name for one in of("dev", Cloud.LOCAL).identity] == ["old", "staff"]
    assert [(one.name, one.issuer) for one in of("prod", Cloud.GKE).identity] == [("staff", GKE)]
    (policy,) = of("prod", Cloud.GKE).layered or ()
    assert policy.manifest["spec"]["jwtRules"][0]["issuer"] == GKE


def test_a_provider_that_the_environment_does_not_have_is_named_with_the_file(write: Write) -> None:
    files = {
        "meshinstall.yaml": provider("google", "https://accounts.google.com"),
        "policies/base/web.yaml": TOKENS.replace("staff", "stuff"),
    }
    (problem,) = refused(write, files)
    assert problem == "policies/base/web.yaml:2:13: this environment has no identity provider 'stuff' (did you mean staff?)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TOKENS + "rule: {jwks: '{}'}\n", "rule must be a map of what a rule for tokens has besides"),
        (TOKENS.replace("[staff]", "[]"), "providers must be a list of different names"),
        (TOKENS.replace("[staff]", "[staff, staff]"), "providers must be a list of different names"),
        (TOKENS + "jwksUri: x\n", "jwksUri has no place here"),
        ("identity: web\nproviders: [staff]\n", "identity must name a RequestAuthentication"),
        (TOKENS.replace("name: web, ", ""), "identity.name is missing"),
        (TOKENS.replace("annotations: {meshinstall.dev/owner: shop}", "labels: {a: 1}"), "identity.labels.a must be text"),
    ],
)
def test_what_is_wrong_with_such_a_file_is_said_with_its_line(write: Write, text: str, said: str) -> None:
    (problem,) = refused(write, {"meshinstall.yaml": provider("google", "https://accounts.google.com"), "policies/base/web.yaml": text})
    assert problem.startswith("policies/base/web.yaml:")
    assert said in problem


def test_names_of_providers_are_checked_and_there_are_not_too_many(write: Write) -> None:
    many = "".join(f"  p{index}: {{type: google, issuer: 'https://accounts.google.com', audiences: [web]}}\n" for index in range(65))
    (problem,) = refused(write, {"meshinstall.yaml": f"{HEAD}identity:\n{many}"})
    assert "identity has 65 providers, and may have 64" in problem
    (problem,) = refused(write, {"meshinstall.yaml": provider("google", "https://accounts.google.com").replace("staff", "Staff_1")})
    assert "invalid name 'Staff_1' of an identity provider" in problem
