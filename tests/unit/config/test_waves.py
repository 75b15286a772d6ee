"""Waves of the project, an environment and a site: the nearest list counts, each wave with its line, and every mistake is told at once."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from meshinstall.cli.root import command_line
from meshinstall.errors import ConfigError, UsageError
from meshinstall.model.cluster import Cloud
from meshinstall.model.waves import Wave
from tests.unit.config.projects import HEAD, Write, resolved

FILE = (
    HEAD
    + """\
upgrade:
  waves:
    - {name: try, namespaces: [lab]}
    - {name: rest, namespaces: ["*"], parallel: 4, soak: 5m}
environments:
  dev: {cloud: local}
  prod:
    upgrade: {waves: [{name: own, selector: {team: shop, tier: front}}]}
    clouds:
      eks: {upgrade: {waves: []}}
      gke: {upgrade: {waves: [{name: site, namespaces: [shop-*]}]}}
      aks: {}
"""
)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (
            ("dev", Cloud.LOCAL),
            (
                Wave("try", ("lab",), origin="meshinstall.yaml:4"),
                Wave("rest", ("*",), parallel=4, soak=300, origin="meshinstall.yaml:5"),
            ),
        ),
        (("prod", Cloud.AKS), (Wave("own", selector=(("team", "shop"), ("tier", "front")), origin="meshinstall.yaml:9"),)),
        (("prod", Cloud.GKE), (Wave("site", ("shop-*",), origin="meshinstall.yaml:12"),)),
        (("prod", Cloud.EKS), ()),
    ],
)
def test_the_nearest_list_counts_and_an_empty_one_is_none(write: Write, place: tuple[str, Cloud], expected: tuple[Wave, ...]) -> None:
    assert resolved(write({"meshinstall.yaml": FILE}), environment=place[0], cloud=place[1]).waves == expected


def test_without_waves_there_are_none(write: Write) -> None:
    assert resolved(write({"meshinstall.yaml": HEAD})).waves == ()


def refused(write: Write, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(write({"meshinstall.yaml": HEAD + text}))
    return str(caught.value).splitlines()


def test_every_mistake_is_told_at_once_with_its_line(write: Write) -> None:
    text = """\
upgrade:
  waves:
    - name: one
      namespaces: [shop, "pay-*"]
      parallel: 0
    - name: one
      namespaces:
        - shop
        - pay-web
        - Bad_Name
      soak: 5
    - {name: Two, selector: {team: "a b"}}
    - {name: three}
    - {name: four, namespaces: [x], selector: {a: b}, soak: 25h}
"""
    whole = text.replace("soak: 5\n", "soak: 5min\n")
    place, hint = "meshinstall.yaml:{}:{}: ", 'set one of them; namespaces: ["*"] is every other namespace'
    assert refused(write, whole) == [
        place.format(6, 7) + "parallel is 0, and must be between 1 and 100",
        place.format(7, 7) + "two waves are named 'one' (give each wave a name of its own)",
        place.format(9, 11) + "shop is a duplicate: wave one has it (a namespace is of one wave)",
        place.format(10, 11) + "pay-web is in pay-* already (list pay-web before pay-*, or remove one of the two)",
        place.format(11, 11) + "invalid namespace 'Bad_Name' (a namespace's name, in which * is any text)",
        place.format(12, 7) + "soak is '5min', and must be a time up to 24h (write it as 0s, 90s, 5m or 1h)",
        place.format(13, 8) + "invalid wave name 'Two' (use at most 63 lower-case letters, digits and hyphens)",
        place.format(13, 30) + "team: 'a b' is not a valid label (a label's key and value)",
        place.format(14, 7) + f"wave three sets neither namespaces nor selector ({hint})",
        place.format(15, 7) + f"wave four sets namespaces and selector ({hint})",
        place.format(15, 55) + "soak is '25h', and must be a time up to 24h (write it as 0s, 90s, 5m or 1h)",
    ]


def test_unknown_keys_and_types_have_their_line_and_the_known_key(write: Write) -> None:
    text = "upgrade:\n  waves:\n    - {name: one, namespaces: [a], paralel: 2}\n    - {namespaces: [b], parallel: true}\n  wave: 1\n"
    assert refused(write, text) == [
        "meshinstall.yaml:4:36: unknown key 'paralel' (did you mean parallel?)",
        "meshinstall.yaml:5:7: upgrade.waves.1.name is missing",
        "meshinstall.yaml:5:25: upgrade.waves.1.parallel must be a whole number",
        "meshinstall.yaml:6:3: unknown key 'wave' (did you mean waves?)",
    ]


def test_a_wave_for_the_rest_is_the_last(write: Write) -> None:
    text = 'upgrade: {waves: [{name: rest, namespaces: ["*"]}, {name: late, namespaces: [shop]}]}\n'
    assert refused(write, text) == [
        "meshinstall.yaml:2:78: shop is in * of wave rest already (list shop before *, or remove one of the two)"
    ]


@pytest.mark.parametrize(("name", "whose"), [("istio-system", "the mesh"), ("istio-ingress", "the mesh"), ("kube-system", "Kubernetes")])
def test_no_wave_names_a_namespace_of_the_mesh(write: Write, name: str, whose: str) -> None:
    (line,) = refused(write, f"upgrade: {{waves: [{{name: one, namespaces: [shop, {name}]}}]}}\n")
    assert line.startswith(f"meshinstall.yaml:2:50: wave one: {name} is a namespace of {whose}, which no wave restarts")


def explained(write: Write, *more: str) -> Any:
    folder = write({"meshinstall.yaml": FILE})
    options = ["--config", str(folder), "--env", "prod", "--cloud", "gke", *more]
    return CliRunner().invoke(command_line, ["explain", "upgrade", *options])


def test_explain_shows_the_waves_with_their_line(write: Write) -> None:
    (line,) = explained(write, "waves").stdout.splitlines()
    assert line.startswith("1. site (1 at once; ")
    assert line.endswith("meshinstall.yaml:12): namespaces shop-*")
    (wave,) = json.loads(explained(write, "-o", "json").stdout)["waves"]
    assert wave["origin"].endswith("meshinstall.yaml:12")
    assert wave | {"origin": ""} == {
        "name": "site",
        "parallel": 1,
        "soakSeconds": 0,
        "origin": "",
        "namespaces": ["shop-*"],
        "selector": {},
    }


def test_explain_refuses_another_setting_of_an_upgrade(write: Write) -> None:
    assert isinstance(explained(write, "when").exception, UsageError)
