"""Commands that are printed to be copied: exact, quoted, and never with a secret in them."""

import json
import shlex
from copy import deepcopy
from typing import Any

import jsonpatch

from meshinstall.engine.drifting.comparing import compare
from meshinstall.engine.drifting.remedies import Way, of_differing, of_missing
from meshinstall.engine.drifting.terms import Differing, Wanted
from tests.cases.drifting import entry, live, of_chart, of_file, policy
from tests.unit.engine.drifting.test_comparing import DEPLOYMENT

KUBECTL = Way(("--env", "dev"), ("--env", "dev"), ("--context", "my shop"), "dev/local")


def patched(wanted: Wanted, there: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The command, and what its patch does; applied by another implementation it leaves nothing that differs."""
    (fix,) = of_differing(Differing(wanted, there, compare(wanted, there, None)), None, KUBECTL, is_seen=False)
    assert fix.is_command, fix
    body = shlex.split(fix.text)[-1]
    assert compare(wanted, jsonpatch.apply_patch(there, body), None) == ()
    return fix.text, json.loads(body)


def test_names_with_slashes_and_values_with_quotes_are_one_word_of_a_shell() -> None:
    there = live(policy({"a/b~c": "it's $(id) `id` ::error::x ##[error]\n"}), entry("kubectl-edit", {"f:spec": {}}))
    text, operations = patched(of_file(policy({})), there)
    assert text.startswith("kubectl --context 'my shop' patch authorizationpolicies.security.istio.io web -n shop --type=json -p ")
    assert [one["path"] for one in operations] == ["/spec/a~1b~0c"] * 2
    assert "\n" not in text
    assert "::" not in text
    assert "##" not in text


def test_items_of_lists_go_from_the_last_and_what_holds_a_missing_field_comes_with_it() -> None:
    there = live(policy({"rules": [{"a": 1}, {"b": 2}, {"c": 3}]}))
    _, operations = patched(of_file(policy({"rules": [{"b": 2}]})), there)
    assert [one["path"] for one in operations if one["op"] == "remove"] == ["/spec/rules/2", "/spec/rules/0"]
    bare = live(policy({}))
    del bare["spec"]
    _, operations = patched(of_file(policy({"selector": {"matchLabels": {"app": "web"}}})), bare)
    assert operations == [{"op": "add", "path": "/spec", "value": {"selector": {"matchLabels": {"app": "web"}}}}]


def test_a_variable_that_somebody_added_goes_by_its_name_and_its_value_is_in_no_command() -> None:
    name = 'k:{"name":"ADDED"}'
    fields: dict[str, Any] = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"discovery"}': {"f:env": {name: {}}}}}}}}
    there = live(DEPLOYMENT, entry("kubectl-set", fields))
    there["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "ADDED", "value": "hunter2hunter2"})
    text, operations = patched(of_chart(DEPLOYMENT), there)
    assert "hunter2" not in text
    assert operations == [
        {"op": "test", "path": "/spec/template/spec/containers/0/env/1/name", "value": "ADDED"},
        {"op": "remove", "path": "/spec/template/spec/containers/0/env/1"},
    ]


def test_what_is_too_long_to_copy_or_a_secret_is_told_in_words() -> None:
    wanted = of_file(policy({"when": "a"}))
    for value in ("x" * 9_000, "-----BEGIN PRIVATE KEY-----"):
        there = live(policy({"when": value}), entry("kubectl-edit", {"f:spec": {}}))
        (fix,) = of_differing(Differing(wanted, there, compare(wanted, there, None)), None, KUBECTL, is_seen=False)
        assert (fix.text, fix.is_command) == ("edit AuthorizationPolicy shop/web so that it says what Git says", False)


def test_with_a_commit_the_folder_may_have_other_files() -> None:
    wanted, there = of_file(policy({"a": 1})), live(policy({"a": 2}))
    way = Way(("--env", "dev"), (), (), "dev/local", by_up=True, ref="v1")
    one = Differing(wanted, there, compare(wanted, there, None))
    for (fix,) in (of_differing(one, None, way, is_seen=False), of_missing(wanted, None, way)):
        assert (fix.text, fix.is_command) == ("check out v1, and there: meshinstall up --env dev", False)


def test_a_missing_object_is_applied_from_what_is_rendered() -> None:
    (fix,) = of_missing(of_file(policy({})), None, KUBECTL)
    file = "dev/local/50-policies/authorizationpolicy.security.istio.io_shop_web.yaml"
    assert fix.text == (
        'd=$(mktemp -d) && meshinstall render --env dev --format manifests --out "$d" && '
        f"kubectl --context 'my shop' apply --server-side --force-conflicts -f \"$d\"/{file}"
    )


def test_a_copy_is_compared_and_the_original_stays() -> None:
    there = live(policy({"a": 1}))
    before = deepcopy(there)
    patched(of_file(policy({"a": 2})), there)
    assert there == before
