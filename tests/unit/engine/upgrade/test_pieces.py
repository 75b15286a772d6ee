"""A stage is cut into pieces that change nothing else, and what no piece does is named."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.upgrade.pieces import Piece, cut, left_to_others, scouted
from meshinstall.engine.upgrade.restarts import HOLD
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import Carrier, MeshPosition, NamespaceAt, PlaneAt, Proxied, ProxyCount, Rollout, TagAt
from meshinstall.model.place import Place
from meshinstall.model.release import Component
from meshinstall.model.upgrade import Move, Part, Stage, StageName
from tests.cases import plans
from tests.unit.engine import revisioned

OLD = IstioVersion(1, 30, 4)
PUBLIC = "Deployment istio-ingress/public"
PROXIES = (ProxyCount("default", OLD, 1),)
ROLLING = Rollout("RollingUpdate", 1, 0, 1)


def proxied(namespace: str, name: str, carrier: Carrier, *, kind: str = "Deployment", release: str = "") -> Proxied:
    return Proxied(kind, Place(namespace, name), carrier, PROXIES, ROLLING, release)


def position(**more: Any) -> MeshPosition:
    found = MeshPosition(
        base=OLD,
        planes=(PlaneAt("default", OLD, Place("istio-system", "istiod"), "istiod"),),
        proxied=(
            proxied("istio-ingress", "public", Carrier.GATEWAY, release="istio-ingress/public"),
            proxied("istio-ingress", "partners", Carrier.GATEWAY, kind="DaemonSet", release="istio-ingress/partners"),
            proxied("shop", "own", Carrier.GATEWAY),
            proxied("shop", "web", Carrier.SIDECAR),
        ),
        namespaces=(NamespaceAt("shop", "enabled"), NamespaceAt("pay", "", "canary")),
        validator="default",
    )
    return replace(found, **more)


def stage(name: StageName, *moves: Move) -> Stage:
    return Stage(name, "does", moves)


def gateways(*names: str) -> Stage:
    return stage(StageName.GATEWAYS, *(Move(Part.GATEWAY, name, "1.30.4", "1.31.0") for name in names))


def only(pieces: tuple[Piece, ...]) -> Piece:
    (piece,) = pieces
    return piece


def test_the_default_validator_stays_where_it_is_until_its_own_stage() -> None:
    desired = revisioned.desired()
    crds = only(cut(stage(StageName.CRDS), desired, position()))
    assert [release.component for release in crds.desired.releases] == [Component.BASE]
    assert "defaultRevision" not in crds.desired.releases[0].values.merged()
    two = only(cut(stage(StageName.CRDS), desired, position(validator="1-30")))
    assert two.desired.releases[0].values.merged()["defaultRevision"] == "1-30"
    last = only(cut(stage(StageName.DEFAULT), desired, position()))
    assert last.desired.releases[0].values.merged()["defaultRevision"] == "1-31"
    gone = only(cut(stage(StageName.CRDS), desired, position(validator="")))
    assert gone.desired.releases[0].values.merged()["defaultRevision"] == ""


@pytest.mark.parametrize("validator", ["default", ""])
def test_in_place_the_base_chart_gets_no_value_that_the_files_do_not_say(validator: str) -> None:
    desired = plans.load("fresh").desired
    crds = only(cut(stage(StageName.CRDS), desired, position(validator=validator)))
    assert crds.desired.releases[0] == next(one for one in desired.releases if one.component is Component.BASE)


@pytest.mark.parametrize("name", [StageName.CRDS, StageName.CONTROL_PLANE, StageName.DEFAULT])
def test_a_piece_has_its_release_alone_and_no_tag_and_no_policy(name: StageName) -> None:
    piece = only(cut(stage(name), revisioned.desired("stable"), position()))
    assert len(piece.desired.releases) == 1
    assert piece.desired.tags == ()
    assert piece.desired.policies == ()
    assert "istio-system" in [space.name for space in piece.desired.namespaces]


def test_each_gateway_is_a_piece_and_a_deployment_is_held_until_it_is_judged() -> None:
    found = cut(gateways(PUBLIC, "DaemonSet istio-ingress/partners"), revisioned.desired(), position())
    assert sorted(piece.name for piece in found) == ["istio-ingress/partners", "istio-ingress/public"]
    by_name = {piece.name: piece for piece in found}
    public = by_name["istio-ingress/public"]
    assert public.desired.releases[0].values.merged()["minReadySeconds"] == HOLD
    assert public.after
    assert "minReadySeconds" not in public.after.releases[0].values.merged()
    assert by_name["istio-ingress/partners"].after is None


def test_a_gateway_that_is_not_ours_or_that_only_its_owner_replaces_is_left_and_named() -> None:
    by_hand = Move(Part.GATEWAY, PUBLIC, "1.30.4", "1.31.0", by_hand=True)
    whole = stage(StageName.GATEWAYS, by_hand, Move(Part.GATEWAY, "Deployment shop/own", "1.30.4", "1.31.0"))
    assert cut(whole, revisioned.desired(), position()) == ()
    assert scouted(whole, revisioned.desired(), position()) == ()
    assert left_to_others(whole, position(), ()) == (f"{PUBLIC}: 1.30.4 → 1.31.0", "Deployment shop/own: 1.30.4 → 1.31.0")


def test_the_tag_default_takes_over_from_an_istiod_of_that_name_and_gives_back_to_it() -> None:
    tags = stage(StageName.TAGS, Move(Part.TAG, "default", "default", "1-31"), Move(Part.TAG, "stable", "default", "1-31"))
    there = only(cut(tags, revisioned.desired("stable"), position()))
    assert there.tags == there.desired.tags == ("default", "stable")
    assert there.takes_over
    assert not there.gives_back
    assert [release.component for release in there.desired.releases] == [Component.ISTIOD]
    back = only(cut(tags, replace(revisioned.desired("stable"), revision=""), position()))
    assert back.gives_back
    assert not back.takes_over
    assert back.tags == ("default", "stable")
    assert back.desired.tags == ("stable",)
    two = position(planes=(PlaneAt("1-30", OLD, Place("istio-system", "istiod-1-30"), "istiod-1-30"),), tags=(TagAt("default", "1-30"),))
    moved = only(cut(tags, revisioned.desired("stable"), two))
    assert not moved.takes_over
    assert not moved.gives_back


def test_a_canary_restarts_its_own_workloads_and_tags_restart_none_of_others() -> None:
    web = Move(Part.PROXIES, "Deployment shop/web", "1.30.4", "1.31.0")
    hand = Move(Part.PROXIES, "Job shop/once", "1.30.4", "1.31.0", by_hand=True)
    whole = stage(StageName.CANARY, Move(Part.TAG, "canary", "default", "1-31"), web, hand)
    pieces = cut(whole, revisioned.desired(), position())
    assert [one.name for one in only(pieces).restarts] == ["Deployment shop/web"]
    assert left_to_others(whole, position(), pieces) == ("Job shop/once: 1.30.4 → 1.31.0",)


def test_what_istiod_replaces_by_itself_is_left_to_nobody() -> None:
    managed = proxied("shop", "gw-istio", Carrier.MANAGED_GATEWAY)
    there = position(proxied=(managed,))
    whole = stage(StageName.TAGS, Move(Part.TAG, "default", "default", "1-31"), Move(Part.PROXIES, managed.name, "1.30.4", "1.31.0"))
    assert left_to_others(whole, there, cut(whole, revisioned.desired(), there)) == ()


@pytest.mark.parametrize("name", [StageName.WORKLOADS, StageName.CATCH_UP])
def test_workloads_are_their_owners_to_restart(name: StageName) -> None:
    whole = stage(
        name, Move(Part.NAMESPACE, "shop", "1-30", "1-31", by_hand=True), Move(Part.PROXIES, "Deployment shop/web", "1.30.4", "1.31.0")
    )
    assert cut(whole, revisioned.desired(), position()) == ()
    assert left_to_others(whole, position(), ()) == ("shop: 1-30 → 1-31", "Deployment shop/web: 1.30.4 → 1.31.0")
