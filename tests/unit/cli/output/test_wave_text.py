"""Waves as they are printed: in their order, within 80 columns, by the schema, and with nothing of a tenant's as markup."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema

from meshinstall.cli.output.printers import dump
from meshinstall.cli.output.upgrade_plan import upgrade_json, upgrade_markdown, upgrade_text
from meshinstall.engine.upgrade.waves import with_waves
from meshinstall.model.foreign_text import in_lines
from meshinstall.model.mesh_position import BudgetAt, NamespaceAt, Rollout
from meshinstall.model.place import Place
from meshinstall.model.upgrade import UpgradePlan
from meshinstall.model.waves import Wave
from tests.cases import plans
from tests.unit.engine.upgrade.test_upgrade_plan import mesh, planned, proxied

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/schemas/upgrade-plan.json").read_text())
WAVES = (
    Wave("try", ("lab",), origin="meshinstall.yaml:4"),
    Wave("rest", ("shop*",), parallel=2, soak=300, origin="meshinstall.yaml:5"),
)


def waved(plan: UpgradePlan) -> UpgradePlan:
    return in_lines(with_waves(plan, replace(plans.load("fresh").desired, waves=WAVES)))


def full(*, name: str = "shop/db") -> UpgradePlan:
    budget = BudgetAt(Place("shop", "web"), 1, 2)
    recreated = proxied(name, rollout=Rollout("Recreate", 2))
    some = [replace(proxied(f"shop/web-{number:02}"), budgets=(budget,)) for number in range(25)]
    proxied_all = (recreated, *some, proxied("lab/api"), proxied("shop/migrate", kind="Job"), proxied("pay/web"))
    spaces = tuple(NamespaceAt(space, "enabled") for space in ("shop", "lab", "pay"))
    return waved(planned(mesh(proxied=proxied_all, namespaces=spaces), "1.31.1"))


def test_each_wave_has_its_restarts_by_batches_and_what_is_left_comes_after() -> None:
    lines = " ".join(upgrade_text(full()).split())
    parts = [
        "restarts workloads in waves, and leaves the rest to their owners",
        "wave try (1 at once; meshinstall.yaml:4) 1. Deployment lab/api: 1.30.4 → 1.31.1",
        "wave rest (2 at once, then soaks for 5 min; meshinstall.yaml:5)",
        "1. Deployment shop/db: 1.30.4 → 1.31.1; only with --allow downtime: down from the stop of the old",
        "1. Deployment shop/web-00: 1.30.4 → 1.31.1; not down",
        "asks PodDisruptionBudget shop/web (allows 1 of 2 pods now) first",
        "2. Deployment shop/web-01",
        "and 6 more: -o json lists them all",
        "left to owners:",
        "Deployment pay/web: 1.30.4 → 1.31.1; no wave has its namespace",
        "Job shop/migrate: 1.30.4 → 1.31.1; keeps the old proxy until it ends",
        "warning PRE049: 1 workload would be down for a time, and would not be restarted",
    ]
    places = [lines.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)


def test_every_line_fits_and_the_document_its_schema() -> None:
    plan = full()
    found = json.loads(dump(upgrade_json(plan)))
    jsonschema.validate(found, SCHEMA)
    assert [line for line in upgrade_text(plan).split("\n") if len(line) > 80 and "https://" not in line] == []
    rest = found["waves"]["waves"][1]
    assert [restart["workload"] for restart in rest["batches"][0]] == ["Deployment shop/db", "Deployment shop/web-00"]
    assert [restart["needsDowntime"] for restart in rest["batches"][0]] == [True, False]
    assert found["waves"]["value"] == "1.31.1/1-31"


def test_without_waves_the_document_says_so() -> None:
    assert upgrade_json(planned(mesh(), "1.31.1"))["waves"] is None


def test_a_tenants_name_becomes_no_markup() -> None:
    plan = full(name="shop/</details>`a` \x1b[31m")
    lines = [line for line in upgrade_markdown(plan).split("\n") if "</details>" in line]
    assert lines
    assert all(line.lstrip().startswith(("- ``", "- warning PRE049: `")) for line in lines)
    assert "\x1b" not in upgrade_markdown(plan) + upgrade_text(plan)
