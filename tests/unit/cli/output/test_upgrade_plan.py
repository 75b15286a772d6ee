"""The plan of an upgrade as it is printed: within 80 columns, by its schema, and with nothing of a tenant's as markup."""

import json
from pathlib import Path

import jsonschema
import pytest

from meshinstall.cli.output.printers import dump
from meshinstall.cli.output.upgrade_plan import upgrade_json, upgrade_markdown, upgrade_text
from meshinstall.model.foreign_text import in_lines
from meshinstall.model.mesh_position import Carrier, NamespaceAt, Rollout, TagAt
from meshinstall.model.upgrade import UpgradePlan
from tests.unit.engine.upgrade.test_upgrade_plan import mesh, planned, proxied

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/schemas/upgrade-plan.json").read_text())


def full(target: str = "1.31.1") -> UpgradePlan:
    """One with something in every part."""
    gateway = proxied("istio-ingress/public", carrier=Carrier.GATEWAY, release="istio-ingress/public")
    some = [proxied(f"shop/web-{number}") for number in range(30)]
    job, recreated = proxied("shop/migrate", kind="Job"), proxied("try/db", rollout=Rollout("Recreate", 2))
    position = mesh(
        proxied=(gateway, *some, job, recreated),
        namespaces=(NamespaceAt("shop", "enabled"), NamespaceAt("try", "", "canary")),
        tags=(TagAt("canary", "default"),),
        gaps=("pods could not be listed",),
    )
    return planned(position, target, {"global": {"tag": "1.30.4"}})


@pytest.mark.parametrize("plan", [full(), full("1.31.0"), planned(mesh("1.28.3")), planned(mesh("1.31.1"))])
def test_every_line_fits_and_every_document_its_schema(plan: UpgradePlan) -> None:
    jsonschema.validate(json.loads(dump(upgrade_json(plan))), SCHEMA)
    long = [line for line in upgrade_text(plan).split("\n") if len(line) > 80 and "https://" not in line]
    assert long == []


def test_stages_come_before_what_is_kept_and_what_stops_comes_last() -> None:
    text = upgrade_text(full())
    places = [
        text.index(part) for part in ("PART", "Stage 1 of", "No restart replaces", "What Istio 1.31 changes", "warning PRE", "error PRE040")
    ]
    assert places == sorted(places)
    assert text.endswith("9 stages. It may not begin because of: PRE040.")


def test_what_was_allowed_stops_no_more() -> None:
    plan = planned(mesh(), "1.31.0")
    assert upgrade_text(plan).endswith("because of: PRE038.")
    allowed = upgrade_text(plan, frozenset({"missing-fix"}))
    assert "allowed (--allow missing-fix) PRE038" in allowed
    assert "may not begin" not in allowed


def test_a_long_stage_is_cut_in_text_and_whole_in_json() -> None:
    assert "and 11 more: -o json lists them all" in upgrade_text(full())
    moves = {stage["name"]: len(stage["moves"]) for stage in upgrade_json(full())["stages"]}
    assert moves["workloads"] == 31


def test_nothing_to_do_is_one_sentence() -> None:
    assert upgrade_text(planned(mesh("1.31.1"))).endswith("Nothing to do: every part of the mesh is at Istio 1.31.1.")


def test_a_tenants_name_becomes_neither_markup_nor_a_command_of_the_terminal() -> None:
    evil = "shop/</details>[x](https://evil) `a` \x1b[31m"
    plan = in_lines(planned(mesh(proxied=(proxied(evil),))))
    assert "\x1b" not in upgrade_text(plan) + upgrade_markdown(plan) + dump(upgrade_json(plan))
    line = next(line for line in upgrade_markdown(plan).split("\n") if "</details>" in line)
    assert line.startswith("- ``")
