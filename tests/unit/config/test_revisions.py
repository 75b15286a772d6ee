"""Revisions and tags of the project, an environment and a site, and the values that come of them."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.engine.report.compare import differences
from meshinstall.errors import ConfigError
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Desired
from meshinstall.model.release import Component
from meshinstall.model.request import Request
from tests.unit.config.projects import HEAD, Write, release

FILE = (
    HEAD
    + """\
istio: {version: "1.31", tags: [stable]}
environments:
  staging:
    istio: {revisions: true}
    cloud: eks
  prod:
    istio: {revisions: true, tags: [old, new]}
    clouds:
      eks: {istio: {version: 1.30.4, tags: []}}
      gke: {istio: {revisions: false}}
      aks: {}
  dev: {cloud: local}
"""
)


def resolved(write: Write, text: str, **asked: Any) -> Desired:
    folder = write({"meshinstall.yaml": text})
    options: dict[str, Any] = {"environment": "staging", "folder": folder} | asked
    return resolve(Request(**options), load_project(None, {}, folder))


def refused(write: Write, text: str, **asked: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(write, text, **asked)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("place", "revision", "tags", "origin"),
    [
        (("staging", Cloud.EKS), "1-31", ("default", "stable"), "meshinstall.yaml:5"),
        (("prod", Cloud.EKS), "1-30", ("default",), "meshinstall.yaml:8"),
        (("prod", Cloud.AKS), "1-31", ("default", "old", "new"), "meshinstall.yaml:8"),
        (("prod", Cloud.GKE), "", (), ""),
        (("dev", Cloud.LOCAL), "", (), ""),
    ],
)
def test_the_nearest_place_counts(write: Write, place: tuple[str, Cloud], revision: str, tags: tuple[str, ...], origin: str) -> None:
    desired = resolved(write, FILE, environment=place[0], cloud=place[1])
    assert (desired.revision, desired.tags, desired.revision_origin) == (revision, tags, origin)


def test_the_revision_is_that_of_the_flag_too(write: Write) -> None:
    assert resolved(write, FILE, istio_version="1.32.4").revision == "1-32"


def test_each_chart_gets_it_where_it_reads_it_and_explain_shows_the_line(write: Write) -> None:
    desired = resolved(write, FILE, profile="ambient")
    told = {
        each.component: {
            str(spoken.origin): spoken.value for path in (("revision",), ("defaultRevision",)) for spoken in each.values.explain(path)
        }
        for each in desired.releases
    }
    line = {"meshinstall.yaml:5": "1-31"}
    assert told == {
        Component.BASE: line,
        Component.ISTIOD: line,
        Component.CNI: {},
        Component.ZTUNNEL: line,
        Component.GATEWAY: line,
    }
    assert release(desired, "istiod-1-31").component is Component.ISTIOD
    gateway = release(resolved(write, FILE), "istio-ingress")
    assert str(gateway.values.explain(("revision",))[-1].origin) == "meshinstall.yaml:5"
    assert [str(need) for need in gateway.needs] == ["istio-system/istiod-1-31"]


def test_the_validating_webhook_fails_closed_where_it_leads_to_this_revision(write: Write) -> None:
    assert release(resolved(write, FILE), "istio-base").values.merged()["base"]["validationFailurePolicy"] == "Fail"


@given(st.sampled_from([None, False]), st.sampled_from(["1.31", "1.31.0", "1.30.4"]), st.sampled_from(["minimal", "default", "ambient"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_without_revisions_everything_is_as_it_was(write: Write, said: bool | None, version: str, profile: str) -> None:  # noqa: FBT001
    without = HEAD + f"istio: {{version: '{version}'}}\n"
    written = without if said is None else without.replace("}", ", revisions: false}")
    desired = resolved(write, written, environment="dev", cloud=Cloud.LOCAL, profile=profile)
    assert (desired.revision, desired.tags, desired.revision_origin) == ("", (), "")
    assert not [each for each in desired.releases if {"revision", "defaultRevision"} & each.values.merged().keys()]
    names = {each.component: each.key.name for each in desired.releases}
    assert names[Component.ISTIOD] == "istiod"


def _written(said: tuple[str | None, bool | None, tuple[str, ...] | None]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in zip(("version", "revisions", "tags"), said, strict=True)
        if value is not None
    }


some_istio = st.tuples(
    st.none() | st.sampled_from(["1.31", "1.31.2", "1.30.4", "1.32.0-rc.1"]),
    st.none() | st.booleans(),
    st.none() | st.sampled_from([(), ("stable",), ("default", "a"), ("b", "a")]),
)


@given(some_istio, some_istio, some_istio, st.sampled_from(["minimal", "default", "ambient"]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_it_is_written_all_releases_are_of_one_revision(
    write: Write, project: Any, environment: Any, site: Any, profile: str
) -> None:
    settled = [project, environment, site]
    on = next((said[1] for said in reversed(settled) if said[1] is not None), False)
    version = next((said[0] for said in reversed(settled) if said[0] is not None), "1.31")
    tags = next((said[2] for said in reversed(settled) if said[2] is not None), ())
    text = json.dumps(
        {
            "apiVersion": "meshinstall.dev/v1",
            "istio": _written(project),
            "environments": {"prod": {"istio": _written(environment), "clouds": {"eks": {"istio": _written(site)}}}},
        }
    )
    try:
        desired, refusal = resolved(write, text, environment="prod", profile=profile), ""
    except ConfigError as error:
        desired, refusal = None, str(error)
    if desired is None:
        assert all("istio.tags need istio.revisions: true" in line for line in refusal.splitlines())
        assert any(said[2] and (not on or said[1] is False) for said in settled)
        return
    minor = "-".join(version.split(".")[:2]) if on else ""
    assert desired.revision == minor
    assert desired.tags == (tuple(dict.fromkeys(("default", *tags))) if on else ())
    merged = {each.component: each.values.merged() for each in desired.releases}
    said = {component: values.get("revision") or values.get("defaultRevision") for component, values in merged.items()}
    assert {value for component, value in said.items() if component is not Component.CNI} == {minor or None}
    istiod = next(each for each in desired.releases if each.component is Component.ISTIOD)
    assert istiod.key.name == (f"istiod-{minor}" if minor else "istiod")
    assert all(istiod.key in each.needs for each in desired.releases if each.component is Component.GATEWAY)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (
            "istiod.revision=canary",
            "--set istiod.revision: istiod.revision is 'canary', and istio.revisions (meshinstall.yaml:5) makes it '1-31'",
        ),
        ("istiod.pilot.revision=canary", "istiod.pilot.revision is 'canary'"),
        ("istiod.revision=null", "istiod.revision is null"),
        ("base.defaultRevision=default", "base.defaultRevision is 'default'"),
        ("istio-ingress.revision=1-30", "istio-ingress.revision is '1-30'"),
        ("istio-ingress.global.revision=1-30", "istio-ingress.global.revision is '1-30'"),
        ("gateway.revision=", "istio-ingress.revision is ''"),
    ],
)
def test_a_value_that_says_another_is_refused(write: Write, flag: str, said: str) -> None:
    assert said in refused(write, FILE, sets=(flag,))[0]


def test_a_value_in_a_file_is_refused_with_its_line(write: Write) -> None:
    text = FILE.replace(
        "    cloud: eks\n", "    cloud: eks\n    values:\n      istiod: {revisionTags: [prod]}\n      base: {defaultRevision: x}\n", 1
    )
    found = refused(write, text)
    assert [line.partition(": ")[0] for line in found] == ["meshinstall.yaml:9:14", "meshinstall.yaml:8:16"]
    assert "(write them into istio.tags: istio.revisions is true (meshinstall.yaml:5))" in found[1]


def test_a_value_that_says_the_same_is_taken(write: Write) -> None:
    assert release(resolved(write, FILE, set_strings=("istiod.revision=1-31",)), "istiod-1-31").values.merged()["revision"] == "1-31"


@pytest.mark.parametrize("tag", ["Stable", "-a", "a-", "a.b", "a_b", "", "x" * 44, "true", "no", "1-31", "1-31-4", "1.31", "2026", "ä"])
def test_a_name_that_cannot_be_a_tag_is_refused(write: Write, tag: str) -> None:
    (said,) = refused(write, HEAD + f"istio: {{revisions: true, tags: [ok, '{tag}']}}\n", environment="dev", cloud=Cloud.LOCAL)
    assert said.startswith(f"meshinstall.yaml:2:37: istio.tags: {tag!r} ")


@pytest.mark.parametrize("tag", ["default", "prod", "a", "a1-b2", "x" * 43, "release-1-31", "v1"])
def test_a_name_that_can_be_a_tag_is_taken(write: Write, tag: str) -> None:
    desired = resolved(write, HEAD + f"istio: {{revisions: true, tags: [{tag}]}}\n", environment="dev", cloud=Cloud.LOCAL)
    assert desired.tags == tuple(dict.fromkeys(("default", tag)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("istio: {revisions: true, tags: [a, b, a]}\n", "meshinstall.yaml:2:39: istio.tags: 'a' is listed twice"),
        ("istio: {revisions: true, tags: [default, default]}\n", "istio.tags: 'default' is listed twice"),
        (
            f"istio: {{revisions: true, tags: [{', '.join(f'a{number}' for number in range(33))}]}}\n",
            "istio.tags has 33 tags, and may have 32",
        ),
        ("istio: {revisions: false, tags: [a]}\n", "istio.tags need istio.revisions: true, and it is false here"),
        ("istio: {tags: [a]}\n", "meshinstall.yaml:2:9: istio.tags need istio.revisions: true"),
        ("environments: {dev: {cloud: local, istio: {tags: [a]}}}\n", "istio.tags need istio.revisions: true"),
        ("istio: {revisions: 'yes'}\n", "istio.revisions must be"),
        ("istio: {revisions: true, tags: stable}\n", "istio.tags must be a list"),
        ("istio: {revision: true}\n", "unknown key 'revision' (did you mean revisions?)"),
    ],
)
def test_what_means_nothing_is_refused_with_its_line(write: Write, text: str, said: str) -> None:
    found = refused(write, HEAD + text, environment="dev", cloud=Cloud.LOCAL)
    assert len(found) == 1
    assert said in found[0]


def test_a_gateway_may_not_have_the_name_of_the_revisions_istiod(write: Write) -> None:
    text = HEAD + "istio: {revisions: true}\nenvironments: {dev: {cloud: local, gateways: {istiod-1-31: {namespace: istio-system}}}}\n"
    assert "would have the name of istiod's own objects" in refused(write, text, environment="dev", cloud=Cloud.LOCAL)[0]


def test_two_environments_of_different_revisions_are_compared_value_by_value(write: Write) -> None:
    one, other = (resolved(write, FILE, environment="prod", cloud=cloud) for cloud in (Cloud.AKS, Cloud.EKS))
    found = {(each.release, each.what) for each in differences(one, other)}
    assert ("istio-system/istiod", "revision") in found
    assert ("", "tags") in found
    assert not [what for name, what in found if name and not what]
