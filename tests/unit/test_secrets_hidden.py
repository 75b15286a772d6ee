"""No secret is in what may be shown, however it is named and wherever it is kept; what only sounds like one is shown."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.model.secret_names import names_secret
from meshinstall.model.secrets import HIDDEN, hides, pair, shown

HUNTER = "hunter2secret"

NAMES = [
    *("DB_PASSWORD", "dbPassword", "db.password", "db-password", "dbpassword", "pwd", "DB_PASS", "passphrase"),
    *("token", "vault-token", "example.com/token", "APIToken", "AUTH_TOKENS", "authtoken"),
    *("access_key", "accessKey", "auth/api-key", "x-api-key", "apikey", "AWS_SECRET_ACCESS_KEY", "privateKey"),
    *("credentials", "credential", "client-secret", "JWT_SECRET", "secret", "example.com/secret", "Authorization", "Cookie"),
]
OTHERS = [
    *("secretName", "existingSecret", "credentialName", "tokenReview", "tokenAudience", "passwordFile", "imagePullSecrets"),
    *("jwtPolicy", "key", "publicKey", "istio.io/rev", "compass", "authorizationPolicy", "tokenizer"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert shown(HUNTER, name) == HIDDEN
    assert shown({name: HUNTER}) == HIDDEN
    assert shown([{"name": name, "value": HUNTER}]) == HIDDEN
    assert shown(json.dumps({name: HUNTER})) == HIDDEN
    assert shown(f"a: 1\n{name}: {HUNTER}\n") == HIDDEN


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_sounds_like_one_is_shown(name: str) -> None:
    for value in (HUNTER, {name: HUNTER}, [{"name": name, "value": HUNTER}], f"a: 1\n{name}: {HUNTER}\n", f"{{{{ x }}}}\n{name}: {HUNTER}"):
        assert shown(value, name) == value


@pytest.mark.parametrize(
    "value",
    [
        True,
        3,
        {"maxTokens": 3, "automountServiceAccountToken": False},
        {"token": {"aud": "istio-ca"}, "serviceAccountToken": {"path": "istio-token"}},
        {"password": "${DB_PASSWORD}", "token": "/var/run/secrets/tokens/istio-token"},
        {"secrets": [{"name": "login"}], "credentials": {"secretName": "login"}},
        ["--tokenAudience", "istio-ca", "--token-file=/var/token"],
        "registry.example/team/token:1.2",
        "{{ if .Values.token }}\nserviceAccountToken:\n  path: istio-token\n",
    ],
)
def test_a_reference_or_a_switch_is_shown(value: Any) -> None:
    assert shown(value) == value


@pytest.mark.parametrize(
    "value",
    [
        ["--password", HUNTER],
        [f"--token={HUNTER}"],
        ["sh", "-c", f"login --password {HUNTER} now"],
        ["curl", "-H", f"Authorization: Basic {HUNTER}"],
        f"https://example.com/?access_token={HUNTER}",
        {"tokens": {"alice": HUNTER}},
        {"AUTH_TOKENS": [HUNTER]},
        {"kind": "Secret", "data": {"tls.crt": HUNTER}},
        {"password": 12345678},
        {"annotations": {"last-applied": json.dumps({"env": [{"name": "DB_PASSWORD", "value": HUNTER}]})}},
    ],
)
def test_a_secret_is_found_in_what_holds_it(value: Any) -> None:
    assert shown(value) == HIDDEN


@pytest.mark.parametrize(
    "text",
    [
        f"a: &x 1\nb: *x\npassword: {HUNTER}\n",
        f"- one\n- password: {HUNTER}\n",
        f"user=me\npassword={HUNTER}\n",
        f"user = me\ndb.password = {HUNTER}\n",
        f"machine:9090\npassword:{HUNTER}\n",
        f"{{{{ if .x }}}}\npassword: {HUNTER}\n",
        f"{{{{ if .x }}}}\n- name: DB_PASSWORD\n  value: {HUNTER}\n",
        f"{{{{ if .x }}}}\n- value: {HUNTER}\n  name: DB_PASSWORD\n",
        f"{{{{ if .x }}}}\npassword: |\n  {HUNTER}\n",
        f"{{{{ if .x }}}}\npassword:\n  {HUNTER}\n",
        f'{{{{ if .x }}}}\n{{"a": 1, "password": "{HUNTER}"}}\n',
        f"a: 1\nb: '{json.dumps({'password': HUNTER})}'\n",
        f"a: 1\nb: |\n  user=me\n  password={HUNTER}\n",
        f"a: 1\n# password: {HUNTER}\n",
        f"requirepass on\nmasterpwd {HUNTER}\n",
        f"a: [\npassword: {HUNTER}\n",
        "-----BEGIN " + f"PRIVATE KEY-----\n{HUNTER}\n",
    ],
)
def test_no_text_shows_a_secret_in_one_of_its_lines(text: str) -> None:
    told = shown(text)
    assert HUNTER not in told
    assert HIDDEN in told


def test_of_a_text_that_is_not_a_document_the_other_lines_are_shown() -> None:
    assert shown(f"user=me\npassword={HUNTER}\nport=1\n") == f"user=me\npassword={HIDDEN}\nport=1"


def test_a_change_that_only_a_secret_makes_stays_one() -> None:
    assert pair("a=1\npassword=x\n", "a=1\npassword=y\n") == (HIDDEN, HIDDEN)
    assert pair(None, HUNTER, "token") == (None, HIDDEN)
    assert pair("a", "b", "name") == ("a", "b")


_TREES = st.recursive(
    st.just(HUNTER),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", *OTHERS[:3]]), inner, min_size=1, max_size=2)
    ),
    max_leaves=4,
)


@given(tree=_TREES, name=st.sampled_from(NAMES), kept=st.sampled_from(["as it is", "json", "yaml", "template"]))
def test_wherever_it_is_it_is_hidden(tree: Any, name: str, kept: str) -> None:
    """Each text of a tree becomes a secret by its name, and the tree one of a map, or a text in it."""

    def named(value: Any) -> Any:
        if isinstance(value, str):
            return {name: value}
        return [named(one) for one in value] if isinstance(value, list) else {key: named(one) for key, one in value.items()}

    tree = named(tree)
    text = {"json": json.dumps(tree), "yaml": yaml.safe_dump(tree) + "---x: 1\n", "template": "{{ x }}\n" + yaml.safe_dump(tree)}
    assert HUNTER not in json.dumps(shown({"a": text.get(kept, tree)}))
    assert HUNTER not in json.dumps(shown(text.get(kept, tree)))


def test_a_text_of_any_size_takes_bounded_work() -> None:
    for text in ("a" * 300_000, "ab=" * 100_000, "-" * 300_000, "token: " * 40_000, "a " * 150_000, " " * 300_000, "x\n" + "a: " * 90_000):
        hides(text, "x")


def test_words_are_split_where_they_end() -> None:
    assert names_secret("HTTPAuthToken")
    assert not names_secret("tokens.io/enabled")
