"""What doctor asks a cloud before any cluster is touched, and that nothing it prints is a secret."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import jsonschema

from meshinstall.adapters.net.surroundings import variables, versions
from meshinstall.cli.output.doctor_text import doctor_json, doctor_text
from meshinstall.engine.report.doctor import look_at_cloud
from meshinstall.errors import ClusterError, ForbiddenError, UnauthorizedError, UsageError
from meshinstall.model.cluster import Caller, Chosen, Cloud, CloudCluster, Credential, Listing, Unread
from meshinstall.model.doctor import Examination, Look
from tests.clouds.fake_provider import PLANTED, SHOP, FakeProvider

SCHEMA = Path(__file__).parents[2] / "docs/schemas/doctor.json"


@dataclass
class Awkward(FakeProvider):
    """A cloud that answers some questions."""

    closed: ClusterError | None = None
    unread: bool = False

    def describe(self) -> CloudCluster:
        """The cluster, or what stands between."""
        if self.closed:
            raise self.closed
        return SHOP

    def inspect(self, cluster: CloudCluster) -> CloudCluster:
        """Who asked; and one thing less."""
        found = replace(cluster, caller=Caller("ann", "AWS_PROFILE"))
        return replace(found, unread={"network": Unread("ec2:DescribeSubnets")}) if self.unread else found

    def discover(self) -> Listing:
        """One region answers."""
        return Listing((SHOP,), {"eu-north-1": "not allowed"}, Caller("ann"))


def looks(cloud: FakeProvider, *, named: bool = True) -> list[Look]:
    return list(look_at_cloud(cloud, named=named, now=datetime.now(UTC)))


def test_a_cluster_that_is_named_is_asked_for_all_that_a_run_needs() -> None:
    found = looks(Awkward(choice=Chosen("AWS_PROFILE", secrets=("AWS_SECRET_ACCESS_KEY",))))
    assert all(one.ok for one in found)
    assert [(one.what, one.said) for one in found] == [
        ("the login", "AWS_PROFILE; it rests on AWS_SECRET_ACCESS_KEY"),
        ("describe the cluster", "shop in eu-west-1, 1.36, ACTIVE, https://127.0.0.1:1 (public)"),
        ("as whom", "ann (AWS_PROFILE)"),
        ("read what preflight judges", "all of it"),
        ("a credential for the cluster", "a token, for 14 minutes"),
    ]


def test_a_permission_that_is_missing_is_named() -> None:
    found = looks(Awkward(unread=True))
    assert Look("read network", ok=False, said="needs ec2:DescribeSubnets") in found


def test_what_refuses_is_told_with_what_to_do_and_nothing_is_asked_after_it() -> None:
    found = looks(cloud := Awkward(closed=UnauthorizedError("the login has ended", "log in again")))
    assert found[-1] == Look("describe the cluster", ok=False, said="the login has ended", hint="log in again")
    assert cloud.given == []


def test_a_place_that_does_not_answer_is_no_empty_place() -> None:
    found = looks(Awkward(), named=False)
    assert [(one.what, one.ok) for one in found] == [
        ("the login", True),
        ("as whom", True),
        ("list clusters", True),
        ("list clusters of eu-north-1", False),
    ]


@dataclass
class Nobody(FakeProvider):
    """The login itself makes no sense, or nothing may be listed."""

    login: bool = False

    def chosen(self) -> Chosen:
        """There is none."""
        if not self.login:
            raise UsageError("no such profile", "aws configure list-profiles")
        return Chosen("a profile")

    def discover(self) -> Listing:
        """Not allowed."""
        raise ForbiddenError("eks:ListClusters is missing", "ask for it")

    def credential(self) -> Credential:
        """Not allowed either."""
        raise UnauthorizedError("the keys have ended", "renew them")


def test_each_kind_of_failure_is_one_line() -> None:
    assert looks(Nobody()) == [Look("the login", ok=False, said="no such profile", hint="aws configure list-profiles")]
    assert looks(Nobody(login=True), named=False)[-1] == Look("list clusters", False, "eks:ListClusters is missing", "ask for it")
    assert looks(Nobody(login=True))[-1] == Look("a credential for the cluster", False, "the keys have ended", "renew them")


def test_it_prints_no_secret_and_validates() -> None:
    seen = variables(
        {"HTTPS_PROXY": f"http://me:{PLANTED}@proxy.example:3128", "http_proxy": f"{PLANTED}@", "AWS_CA_BUNDLE": "/etc/ca\x1b.pem"}
    )
    found = Examination(Cloud.EKS, tuple(looks(Awkward())), seen, versions())
    document = doctor_json(found)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert seen["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert PLANTED not in doctor_text(found) + json.dumps(document)
    assert "\x1b" not in doctor_text(found)
    assert "botocore " in doctor_text(found)
