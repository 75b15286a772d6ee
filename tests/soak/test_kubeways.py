"""Generated users of kubeconfigs and generated proxy settings: the real kubectl and we do the same, or we refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.contracts.test_ways import V1, V1BETA1, Place, a_place, pair
from tests.contracts.test_ways import given as answer
from tests.contracts.test_ways_proxies import ours, theirs
from tests.contracts.ways import by_kubectl, by_us

BY_PLUGIN = "t"
ROUNDS, USERS, BATCHES, BATCH = 4, 60, 5, 30


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as found:
        yield found


WORDS = st.sampled_from(["", "a", "b c", "é", "a\nb", " a ", "x:y", "a/b", "100%"])
TOKENS = st.sampled_from(["", "t", "t.t-t", "a b", "t\n", "é"])
# Where both are there, kubectl asks for a password or sends it; we refuse.
USERS_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "token": TOKENS,
        "tokenFile": st.sampled_from(["token", "gone", "empty"]),
        "as": WORDS,
        "as-uid": WORDS,
        "as-groups": st.lists(WORDS, max_size=3),
        "as-user-extra": st.dictionaries(WORDS.filter(bool), st.lists(WORDS, max_size=2), max_size=2),
        "pair": st.booleans(),
        "exec": st.fixed_dictionaries(
            {
                "apiVersion": st.sampled_from([V1, V1BETA1, "client.authentication.k8s.io/v1alpha1", ""]),
                "command": st.sampled_from(["./login", "login", "./gone", ""]),
                "interactiveMode": st.sampled_from(["Never", "IfAvailable", "Always", "", "Sometimes"]),
            },
            optional={"provideClusterInfo": st.booleans(), "args": st.lists(WORDS, max_size=2)},
        ),
    },
)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_user_is_who_he_is_to_kubectl_or_is_refused(kubectl: Path, place: Place, number: int) -> None:
    certificate = pair(place)
    place.file("token", "from-a-file\n")
    place.file("empty", "")

    @seed(number)
    @settings(max_examples=USERS)
    @given(fields=USERS_FIELDS)
    def holds(fields: dict[str, Any]) -> None:
        user = {**fields, **(certificate if fields.get("pair") else {})}
        user.pop("pair", None)
        place.plugin(answer(token=BY_PLUGIN) | {"apiVersion": fields.get("exec", {}).get("apiVersion", V1)})
        way = place.config(user)
        servers = [place.server, place.plain, place.other]
        of_kubectl, of_us = by_kubectl(kubectl, way, servers), by_us(way, servers)
        if of_us != of_kubectl:
            # A space in a token goes out with kubectl; somebody without credentials is asked for a password by it, and anonymous here.
            odd = " " in user.get("token", "") or not isinstance(of_us, str)
            assert odd, (of_kubectl, of_us)
            if not isinstance(of_us, str):
                assert isinstance(of_kubectl, str)
                assert not any(one.authorization or one.certificate for one in of_us)

    holds()


HOSTS = st.sampled_from(
    ["api.example.org", "example.org", "a.b", "192.0.2.7", "[2001:db8::7]", "localhost", "127.0.0.9", "[::1]", "10.1.2.3"]
)
ENTRIES = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "", "", ".", "*.", "*", "a."]),
        st.sampled_from(
            ["example.org", "org", "api.example.org", "a.b", "b", "192.0.2.7", "192.0.2", "2001:db8::7", "[2001:db8::7]", "10.1.2.3", ""]
        ),
        st.sampled_from(["", "", "", ":443", ":6443", ":", "/8", "/24", "/33", "/64", " ", "/255.0.0.0"]),
    ),
    st.sampled_from(["*", "", " ", "10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0", "::/0"]),
)
CASES = st.tuples(
    st.builds("{}://{}{}".format, st.sampled_from(["https", "https", "http"]), HOSTS, st.sampled_from(["", ":6443", ":443"])),
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(
                ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
                st.sampled_from(["", "PROXY", "http://PROXY", "http://a:b@PROXY"]),
            ),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), st.lists(ENTRIES, max_size=4).map(",".join)),
            "REQUEST_METHOD": st.sampled_from(["", "GET"]),
        },
    ),
)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_environment_means_the_same(kubectl: Path, number: int) -> None:
    @seed(number)
    @settings(max_examples=BATCHES)
    @given(cases=st.lists(CASES, min_size=BATCH, max_size=BATCH))
    def holds(cases: list[tuple[str, dict[str, str]]]) -> None:
        found = theirs(kubectl, cases)
        assert [(case, ours(*case)) for case in cases] == list(zip(cases, found, strict=True))

    holds()
