"""How requests that are decided alike are told."""

from meshinstall.checks.authz.wording import conditions
from meshinstall.model.access import Aspect, Cell, Part


def test_kinds_of_tokens_are_told_apart_from_the_claims_of_one() -> None:
    parts = (Part("no token"), Part("token of a with aud b", ("token of a with sub ann, aud b", "token of a with sub bob, aud b")))
    assert conditions(Cell((Aspect("token", parts),), ())) == (
        "no token, or token of a with aud b but not token of a with sub ann, aud b or token of a with sub bob, aud b",
    )


def test_values_of_others_are_a_list() -> None:
    parts = (Part("gold"), Part("s*", ("silver", "stone")))
    assert conditions(Cell((Aspect("request.headers[x]", parts),), ())) == ("request.headers[x] = gold, s* but silver and stone",)
