"""Places that could not be asked, as people read them."""

from meshinstall.cli.output.cluster_tables import listing_json, listing_text
from meshinstall.model.cluster import Listing

QUOTA = "Google refuses container.clusters.list in project {}: a quota of the project 42 is used up; wait a minute"


def test_one_reason_of_many_places_is_one_line_with_a_count_and_a_few_names() -> None:
    places = [f"shop-{number:03}" for number in range(500)]
    found = Listing((), {**{place: QUOTA.format(place) for place in places}, "shop-x": "billing is off"})
    assert listing_text(found, ()).splitlines() == [
        "No cluster is visible to you.",
        f"✗ 500 places (shop-000, shop-001, shop-002 and 497 more), the first: {QUOTA.format('shop-000')}",
        "✗ shop-x: billing is off",
    ]
    assert len(listing_json(found, ())["failures"]) == 501


def test_two_places_are_both_named() -> None:
    text = listing_text(Listing((), {"us-east-1": "the session has expired", "eu-west-1": "the session has expired"}), ())
    assert text.splitlines()[1:] == ["✗ 2 places (eu-west-1, us-east-1), the first: the session has expired"]
