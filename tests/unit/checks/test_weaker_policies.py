"""PeerAuthentications of others that open what the environment closes, as every plan names them."""

from typing import Any

import pytest

from meshinstall.model.finding import Finding, Severity
from tests.cases import plans

OURS = {"metadata": {"name": "default", "namespace": "istio-system", "creationTimestamp": "2026-11-20T10:00:00Z"}}


def peer(name: str, namespace: str, day: int = 25, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "creationTimestamp": f"2026-11-{day:02}T10:00:00Z"}, "spec": spec}


def found(*others: dict[str, Any], ours: dict[str, Any] | None = OURS, **facts: Any) -> dict[str, Finding]:
    """Findings by code; of ours only the age counts, the plan says what becomes of the rest."""
    peers = {str(index): item for index, item in enumerate([*([ours] if ours else []), *others])}
    planned = plans.make({"facts": {"peers": peers, **facts}}).plan()
    return {finding.code: finding for finding in planned.findings if finding.code in {"PRE018", "PRE019", "PRE020"}}


def open_(mode: str = "PERMISSIVE") -> dict[str, Any]:
    return {"mode": mode}


def test_a_mesh_with_ours_alone_has_no_finding() -> None:
    assert found() == {}
    assert found(ours=None) == {}


def test_the_oldest_for_the_whole_mesh_is_named() -> None:
    newer = found(peer("other", "istio-system", mtls=open_()))["PRE018"]
    assert found(peer("other", "istio-system", mtls=open_())).keys() == {"PRE018"}
    assert newer.severity is Severity.WARNING
    assert newer.title == "more than one PeerAuthentication is for the whole mesh; istio-system/default counts, as it is the oldest"
    assert newer.detail == "without effect: istio-system/other (PERMISSIVE)"
    older = found(peer("other", "istio-system", 1, mtls=open_()))["PRE018"]
    assert found(peer("other", "istio-system", 1, mtls=open_())).keys() == {"PRE018"}
    assert older.title == "PeerAuthentication istio-system/other (PERMISSIVE) counts for the whole mesh, not istio-system/default (STRICT)"
    assert older.hint == "kubectl delete peerauthentication other -n istio-system"


def test_one_that_is_there_before_ours_counts() -> None:
    assert "istio-system/other (STRICT) counts" in found(peer("other", "istio-system", mtls=open_("STRICT")), ours=None)["PRE018"].title


def test_the_name_decides_between_equals() -> None:
    assert "istio-system/a (DISABLE) counts" in found(peer("a", "istio-system", 20, mtls=open_("DISABLE")))["PRE018"].title
    assert "istio-system/default counts" in found(peer("z", "istio-system", 20, mtls=open_("DISABLE")))["PRE018"].title


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ([peer("default", "shop", mtls=open_())], "shop/default (PERMISSIVE, the whole namespace)"),
        ([peer("web", "shop", mtls=open_("DISABLE"), selector={"matchLabels": {"app": "web"}})], "shop/web (DISABLE, pods with app=web)"),
        (
            [peer("web", "shop", portLevelMtls={"8080": open_()}, selector={"matchLabels": {"app": "web"}})],
            "shop/web (port 8080 PERMISSIVE, pods with app=web)",
        ),
    ],
)
def test_what_accepts_plaintext_is_named(others: list[dict[str, Any]], told: str) -> None:
    finding = found(*others)["PRE019"]
    assert finding.severity is Severity.WARNING
    assert finding.title == f"PeerAuthentication {told.partition(' ')[0]} accepts plaintext, but this environment wants STRICT"
    assert finding.detail == told


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(peer("default", "shop", mtls=open_("STRICT")), id="it is strict"),
        pytest.param(peer("default", "shop", mtls=open_("UNSET")), id="it inherits"),
        pytest.param(peer("default", "shop", portLevelMtls={"8080": open_()}), id="ports count with a selector alone"),
        pytest.param(peer("x", "istio-system", selector={"matchLabels": {"app": "a"}}, mtls=open_()), id="selectors do not in the root"),
    ],
)
def test_what_opens_nothing_is_not_named(other: dict[str, Any]) -> None:
    assert found(other) == {}


def test_a_newer_one_for_the_same_namespace_opens_nothing() -> None:
    assert found(peer("a", "shop", 1, mtls=open_("STRICT")), peer("b", "shop", 2, mtls=open_())) == {}


def test_what_the_istiod_of_another_revision_reads_is_not_for_ours() -> None:
    theirs = peer("default", "shop", mtls=open_())
    theirs["metadata"]["labels"] = {"istio.io/rev": "theirs"}
    planes = {"ours": {"metadata": {"labels": {"istio.io/rev": "default"}}}}
    pods = peer("web", "shop", mtls=open_(), selector={"matchLabels": {"app": "web"}})
    pods["metadata"]["labels"] = {"istio.io/rev": "theirs"}
    assert found(theirs, pods, controlPlanes=planes) == {}
    assert "PRE019" in found(theirs)


def test_a_permissive_environment_wants_no_more() -> None:
    policy = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": OURS["metadata"], "spec": {"mtls": open_()}}
    peers = {"ours": OURS, "shop": peer("default", "shop", mtls=open_())}
    planned = plans.make({"desired": {"policies": [policy]}, "facts": {"peers": peers}}).plan()
    assert not [finding for finding in planned.findings if finding.code == "PRE019"]


def test_what_could_not_be_listed_is_said() -> None:
    finding = found(peersUnseen='peerauthentications is forbidden: User "ann"')["PRE020"]
    assert finding.severity is Severity.WARNING
    assert finding.detail == 'peerauthentications is forbidden: User "ann"'
