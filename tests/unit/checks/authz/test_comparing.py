"""How texts, paths and identities are compared; that Envoy does the same is the referees' to say."""

import pytest

from meshinstall.checks.authz.paths import path_matching, path_of
from meshinstall.checks.authz.sources import address, namespace, service_account, trust_domain, with_aliases
from meshinstall.checks.authz.texts import matching
from meshinstall.model.authz import Normalization

WEB = "spiffe://mesh.example/ns/shop/sa/web"


@pytest.mark.parametrize(
    ("sent", "none", "base", "merged", "decoded"),
    [
        ("/x/../admin?y=1", "/x/../admin", "/admin", "/admin", "/admin"),
        ("/%61dmin", "/%61dmin", "/admin", "/admin", "/admin"),
        ("//admin", "//admin", "//admin", "/admin", "/admin"),
        ("/api%2Fv1", "/api%2Fv1", "/api%2Fv1", "/api%2Fv1", "/api/v1"),
        ("/api/%2E%2e/admin", "/api/%2E%2e/admin", "/admin", "/admin", "/admin"),
        ("/api/..", "/api/..", "/", "/", "/"),
    ],
)
def test_a_path_is_compared_as_the_mesh_normalises_it(sent: str, none: str, base: str, merged: str, decoded: str) -> None:
    assert [path_of(sent, how) for how in Normalization] == [none, base, merged, decoded]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "", False),
        ("*", "x", True),
        ("/api/*", "/api/", True),
        ("/api/*", "/api", False),
        ("*.js", "/a.js", True),
        ("*.js", "/a.json", False),
        ("*a*", "xa*", True),
        ("*a*", "xab", False),
        ("/api", "/API", False),
    ],
)
def test_a_star_counts_at_one_end(pattern: str, text: str, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    assert matching(pattern)(text) is expected


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("/{*}/v1", "/api/v1", True),
        ("/{*}/v1", "/a/b/v1", False),
        ("/api/{**}", "/api/a/b", True),
        ("/api/{**}", "/api/", True),
        ("/api/{**}", "/other", False),
        ("/a.b/{*}", "/axb/c", False),
    ],
)
def test_a_template_is_compared_by_segments(template: str, path: str, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    match = path_matching(template)
    assert match is not None
    assert match(path) is expected


def test_identities_are_compared_by_their_parts() -> None:
    assert namespace("shop")(WEB)
    assert namespace("s*p")(WEB)
    assert not namespace("sho")(WEB)
    assert service_account("shop/web")(WEB)
    assert not service_account("bank/web")(WEB)
    assert not service_account("shop/w.b")(WEB)
    assert not service_account("shop/we")(WEB)
    assert trust_domain("*.example")(WEB)
    assert not trust_domain("mesh")(WEB)


def test_a_principal_of_the_mesh_is_known_by_each_of_its_domains() -> None:
    domains = ("mesh.example", "old.example")
    assert list(with_aliases(["cluster.local/ns/shop/sa/web"], domains)) == ["mesh.example/ns/shop/sa/web", "old.example/ns/shop/sa/web"]
    assert list(with_aliases(["other/ns/shop/sa/web", "*/ns/shop/sa/web"], domains)) == ["other/ns/shop/sa/web", "*/ns/shop/sa/web"]


@pytest.mark.parametrize("block", ["10.0.0.0/33", "10.0.0", "x", "", "10.0.0.0/255.0.0.0", "10.0.0.0/08", "fe80::1%eth0"])
def test_what_is_not_a_block_of_addresses_is_none(block: str) -> None:
    assert address(block) is None


def test_addresses_of_the_other_family_are_in_no_block() -> None:
    match = address("::/0")
    assert match is not None
    assert not match("10.0.0.1")
