"""What stops a run before anything is touched; the findings' texts are in tests/cases/plan."""

from datetime import date
from typing import Any

import pytest

from meshinstall.checks.preflight import ALLOWABLE, preflight
from meshinstall.model.finding import Severity
from tests.cases import plans


def codes(differs: dict[str, Any]) -> list[str]:
    case = plans.make(differs)
    return [finding.code for finding in preflight(case.desired, case.facts, case.today) if finding.severity is not Severity.INFO]


def at(version: str, record: str) -> dict[str, Any]:
    return {"facts": {"charts": {"istiod": f"{version} b"}, "releases": {"istio-system/istiod": {"version": record}}}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("1.31.0", "1.31.0", []),
        ("1.31.0", "1.31.5", []),
        ("1.30.9", "1.31.0", []),
        ("1.31.5", "1.31.0", ["PRE006"]),
        ("1.31.0", "1.31.0-rc.1", ["PRE006"]),
        ("2.0.0", "1.31.0", ["PRE006"]),
        ("1.29.0", "1.31.0", ["PRE007"]),
        ("a fork's own", "1.31.0", []),
    ],
)
def test_upgrades_go_one_minor_at_a_time_and_never_back(before: str, after: str, expected: list[str]) -> None:
    assert codes(at(after, before)) == expected


@pytest.mark.parametrize(
    ("istio", "kubernetes", "expected"),
    [
        ("1.31.0", "1.32.0", []),
        ("1.31.0", "1.36.3", []),
        ("1.31.0", "1.37.0", ["PRE001"]),
        ("1.31.0", "1.31.9", ["PRE001"]),
        ("1.30.0", "1.36.0-eks-1234", []),
        ("1.30.0", "1.37.0", ["PRE001"]),
        ("1.30.0", "", []),
        ("1.77.0", "1.20.0", []),
    ],
)
def test_each_minor_of_istio_has_its_range_of_kubernetes(istio: str, kubernetes: str, expected: list[str]) -> None:
    assert codes({"desired": {"istioVersion": istio}, "facts": {"kubernetes": kubernetes}}) == expected


@pytest.mark.parametrize(("today", "expected"), [(date(2026, 11, 30), []), (date(2026, 12, 1), ["PRE008"])])
def test_the_last_day_of_support_is_still_supported(today: date, expected: list[str]) -> None:
    assert codes({"today": today, "desired": {"istioVersion": "1.30.4"}}) == expected


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "istiod", "namespace": "elsewhere", "annotations": {"meta.helm.sh/release-name": "istiod"}},
        {"name": "istiod", "namespace": "istio-system", "annotations": {"meta.helm.sh/release-name": "theirs"}},
        {"name": "istiod-canary", "namespace": "istio-system"},
    ],
)
def test_a_control_plane_is_ours_by_its_release_and_its_namespace(metadata: dict[str, Any]) -> None:
    assert codes({"facts": {"controlPlanes": {"another": {"metadata": metadata}}}}) == ["PRE004"]


def test_crds_of_no_owner_are_told_once() -> None:
    crds = {
        name: {"metadata": {"name": name, "annotations": None}} for name in ("gateways.networking.istio.io", "sidecars.networking.istio.io")
    }
    assert codes({"facts": {"crds": crds}}) == ["PRE005"]


def test_crds_that_the_chart_does_not_apply_are_information() -> None:
    names = ("istiooperators.install.istio.io", "gateways.networking.istio.io")
    labels = {"annotations": {"meta.helm.sh/release-name": "istio-base"}}
    crds = {name: {"metadata": {"name": name, **(labels if "networking" in name else {})}} for name in names}
    case = plans.make({"facts": {"crds": crds}})
    (finding,) = (each for each in preflight(case.desired, case.facts, case.today) if each.code.startswith("PRE0") and "CRD" in each.title)
    assert finding.code == "PRE026"
    assert finding.severity is Severity.INFO
    assert finding.title == "Istio 1.31.0 does not use CRDs that are in the cluster: istiooperators.install.istio.io"
    # Of a minor whose CRDs are not in the table, each may be one that its chart applies.
    assert "PRE005" in codes({"desired": {"istioVersion": "1.29.1"}, "facts": {"crds": crds}})
    assert "PRE005" not in codes({"desired": {"istioVersion": "1.30.1"}, "facts": {"crds": crds}})


def test_only_findings_with_a_name_can_be_allowed() -> None:
    ours = {"PRE001": "kubernetes", "PRE004": "foreign", "PRE006": "downgrade", "PRE007": "skip-minor", "PRE008": "eol"}
    refused = {
        **dict.fromkeys(("PRE031", "PRE032"), "refused"),
        "PRE016": "environment",
        "PRE017": "takeover",
        "PRE023": "in-use",
        "PRE024": "strict",
        "PRE027": "at-work",
        "PRE038": "missing-fix",
        "PRE042": "gateway-outage",
        "PRE048": "minor-in-place",
        "PRE049": "downtime",
        "PRE054": "plaintext",
        "PRE056": "no-policies",
        "PRE059": "new-root",
        "PRE061": "occupied",
        "PRE064": "kept-policies",
    }
    ports = dict.fromkeys(("EKS014", "EKS016", "EKS017", "GKE007"), "webhook-port")
    assert {**ours, **refused, **ports} == ALLOWABLE
