"""In what two environments differ: settings, releases and values, each with its line, and never a secret."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema

from meshinstall.cli.output.diff_text import diff_json, diff_text
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.engine.report.compare import Difference, Side, differences
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Desired
from meshinstall.model.release import Component
from meshinstall.model.request import Request
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind

SCHEMA = Path(__file__).parents[4] / "docs/schemas/diff.json"
FILE = """\
apiVersion: meshinstall.dev/v1
environments:
  one:
    cloud: eks
    profile: minimal
    values: {istiod: {autoscaleMin: 2, env: {A: x}, meshConfig: {trustDomain: a.example}}}
  two:
    cloud: eks
    istio: {version: 1.30.4}
    mtls: PERMISSIVE
    accept: {until: 2027-01-31, reason: old clients}
    values: {istiod: {autoscaleMin: 3, env: {A: null}, meshConfig: {trustDomain: a.example}}}
"""


def desired(folder: Path, name: str) -> Desired:
    return resolve(Request(environment=name, cloud=Cloud.EKS, folder=folder), load_project(None, {}, folder))


def compared(folder: Path, *names: str) -> dict[tuple[str, str], Difference]:
    (folder / "meshinstall.yaml").write_text(FILE)
    one, other = (desired(folder, name) for name in names)
    return {(each.release, each.what): each for each in differences(one, other)}


def test_settings_and_values_have_the_lines_of_both_sides(tmp_path: Path) -> None:
    found = compared(tmp_path, "one", "two")
    istiod = "istio-system/istiod"
    assert found["", "Istio"] == Difference("", "Istio", Side("1.31", "<built-in>"), Side("1.30.4", "meshinstall.yaml:9"))
    assert found["", "mTLS"].other == Side("PERMISSIVE", "meshinstall.yaml:10")
    assert found["", "plaintext accepted until"].other == Side("2027-01-31", "meshinstall.yaml:11")
    assert found[istiod, "autoscaleMin"] == Difference(
        istiod, "autoscaleMin", Side(2, "meshinstall.yaml:6"), Side(3, "meshinstall.yaml:12")
    )
    assert (istiod, "meshConfig.trustDomain") not in found


def test_a_null_is_no_missing_value(tmp_path: Path) -> None:
    env = compared(tmp_path, "one", "two")["istio-system/istiod", "env.A"]
    assert env.one == Side("x", "meshinstall.yaml:6")
    assert env.other == Side(None, "meshinstall.yaml:12")


def test_a_release_of_one_side_is_told_once(tmp_path: Path) -> None:
    found = compared(tmp_path, "one", "two")
    assert found["istio-ingress/istio-ingress", ""] == Difference("istio-ingress/istio-ingress", "", None, Side("is installed"))
    assert [what for release, what in found if release == "istio-ingress/istio-ingress"] == [""]


def test_the_same_environment_does_not_differ(tmp_path: Path) -> None:
    assert compared(tmp_path, "one", "one") == {}
    assert diff_text(("one", "one"), ()) == "one and one want the same."


def test_it_is_told_to_people_and_to_programs(tmp_path: Path) -> None:
    found = tuple(compared(tmp_path, "one", "two").values())
    lines = diff_text(("one", "two"), found).splitlines()
    assert lines[:3] == ["Istio", "  one  1.31   (<built-in>)", "  two  1.30.4   (meshinstall.yaml:9)"]
    assert "    one  -" in lines
    assert lines[-1] == f"{len(found)} differences between one and two."
    document = diff_json(("one", "two"), found)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))


def with_value(wanted: Desired, value: str) -> Desired:
    """The same with a value for istiod that no file could have."""
    layer = Layer(LayerKind.FLAG, "by hand", {"env": {"API_TOKEN": value}})
    releases = [
        replace(one, values=ValuesStack((*one.values.layers, layer))) if one.component is Component.ISTIOD else one
        for one in wanted.releases
    ]
    return replace(wanted, releases=tuple(releases))


def test_what_looks_like_a_secret_differs_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "meshinstall.yaml").write_text(FILE)
    wanted = desired(tmp_path, "one")
    (found,) = differences(with_value(wanted, "planted-one"), with_value(wanted, "planted-two"))
    assert found.what == "env.API_TOKEN"
    assert "planted" not in diff_text(("one", "two"), (found,))
