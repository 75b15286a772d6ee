"""Helm's release records: those in records/ were written by the named helm into a real cluster, and by hostile hands."""

import base64
import gzip
import json
import tracemalloc
import zlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.adapters.helm.records import MAX_RECORD, SECRET_TYPE, decode, mark_failed, newest, read
from meshinstall.errors import ClusterError, ConflictError
from meshinstall.model.release import ReleaseKey, ReleaseStatus, readable

RECORDS = Path(__file__).parent / "records"
HELM3, HELM4 = (json.loads((RECORDS / f"helm-{version}.json").read_text()) for version in ("3.22.0", "4.3.1"))

KEY = ReleaseKey("shop", "demo")


def unpacked(secret: dict[str, Any]) -> dict[str, Any]:
    """What helm reads in a Secret."""
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    return found


def record(packed: bytes = b"", *, key: ReleaseKey = KEY, revision: object = "1", **body: object) -> dict[str, Any]:
    """A Secret as Helm labels it, around ``packed`` or around ``body``."""
    content = packed or gzip.compress(json.dumps({"name": key.name, "version": 1, **body}).encode())
    labels = {"name": key.name, "owner": "helm", "status": "deployed", "version": revision}
    return {
        "type": SECRET_TYPE,
        "metadata": {"name": f"sh.helm.release.v1.{key.name}.v1", "namespace": key.namespace, "resourceVersion": "7", "labels": labels},
        "data": {"release": base64.b64encode(base64.b64encode(content)).decode()},
    }


@pytest.mark.parametrize(
    ("secrets", "namespace", "name", "revision", "status"),
    [(HELM3, "helmtest3", "a3", 2, "deployed"), (HELM4, "helmtest4", "a4", 4, "failed")],
)
def test_the_newest_revision_is_read(secrets: list[dict[str, Any]], namespace: str, name: str, revision: int, status: str) -> None:
    ((key, secret),) = newest(reversed(secrets)).items()

    release = read(key, secret)
    assert key == release.key == ReleaseKey(namespace, name)
    assert not release.problem
    assert release.revision == revision
    assert release.status == status
    assert release.chart == "demo"
    assert release.version == "1.2.3"
    assert release.app_version == "9"
    assert release.manifest.startswith("---\n# Source: demo/templates/cm.yaml\n")
    assert release.updated.startswith("2026-11-21T08:1")
    assert release.secret == f"sh.helm.release.v1.{name}.v{revision}"


def test_values_description_and_the_user_s_labels_are_read() -> None:
    secret = deepcopy(HELM4[0])
    secret["metadata"]["labels"]["team"] = "mesh"

    release = decode(secret)

    assert release.values == {"colour": "red"}
    assert release.description == "first one"
    assert release.labels == {"team": "mesh"}


def test_secrets_that_name_no_release_are_nobodys() -> None:
    assert newest([{"metadata": {"name": "x"}}, {"metadata": {"name": "x", "labels": {"name": 7}}}, {}]) == {}


def test_a_release_that_cannot_be_read_stops_nothing_but_itself() -> None:
    other = ReleaseKey("shop", "other")
    found = {key: read(key, secret) for key, secret in newest([record(b"garbage"), record(key=other)]).items()}

    assert not readable(found, [other])[other].problem
    with pytest.raises(ClusterError, match=r"release shop/demo: Secret shop/sh\.helm\.release\.v1\.demo\.v1 has the type"):
        readable(found, [other, KEY])


def test_releases_of_one_name_in_two_namespaces_are_two() -> None:
    first, second = ReleaseKey("a", "demo"), ReleaseKey("b", "demo")

    assert newest([record(key=first), record(key=second)]).keys() == {first, second}


def test_older_revisions_are_not_unpacked() -> None:
    broken = record(b"garbage")

    assert read(KEY, newest([broken, record(revision="2", version=2)])[KEY]).revision == 2


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        (record(b"garbage"), "it cannot be unpacked"),
        (record(gzip.compress(b'{"name": "demo"}')[:-9]), "it cannot be unpacked (it is truncated)"),
        (record(gzip.compress(b"[" * 100_000)), "it cannot be unpacked"),
        (record(gzip.compress(b"[1]")), "its content is not a JSON object"),
        (record(gzip.compress(bytes(MAX_RECORD + 1), 1)), "it unpacks to more than 64 MiB"),
        (record() | {"data": {}}, "it has no data.release"),
        (record() | {"data": {"release": "%%%"}}, "it cannot be unpacked"),
        (record(revision="one"), "its labels do not name a release and revision: 'demo', 'one'"),
        (record(revision="9" * 5000), "its labels do not name a release and revision"),
        (record(name="other"), "its labels say demo revision 1, its content 'other' revision 1"),
    ],
)
def test_a_record_that_is_none_is_named(secret: dict[str, Any], message: str) -> None:
    problem = read(KEY, newest([secret])[KEY]).problem

    assert "Secret shop/sh.helm.release.v1.demo.v1 has the type of a Helm release record but is not valid" in problem
    assert message in problem


json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
bodies = some.fixed_dictionaries(
    {}, optional=dict.fromkeys(("info", "chart", "config", "manifest", "labels", "version", "name"), json_values)
)


@given(bodies)
def test_any_json_is_a_record_or_a_cluster_error(body: dict[str, Any]) -> None:
    try:
        decode(record(**body))
    except ClusterError as error:
        assert "shop/sh.helm.release.v1.demo.v1" in error.message  # noqa: PT017 - either outcome is right


@given(some.binary(max_size=60))
def test_any_bytes_are_a_record_or_a_cluster_error(content: bytes) -> None:
    with pytest.raises(ClusterError):
        decode(record(content or b"x"))


@pytest.mark.parametrize("secrets", [HELM3, HELM4], ids=["helm3", "helm4"])
def test_marking_a_pending_record_failed_changes_its_status_and_description_and_nothing_else(secrets: list[dict[str, Any]]) -> None:
    before = unpacked(secrets[0])
    before["info"]["status"] = "pending-upgrade"
    pending = deepcopy(secrets[0])
    pending["data"]["release"] = record(gzip.compress(json.dumps(before).encode()))["data"]["release"]

    patch = mark_failed(pending, "helm was killed; marked failed by meshinstall")

    assert patch["metadata"] == {"resourceVersion": pending["metadata"]["resourceVersion"], "labels": {"status": "failed"}}
    after = unpacked({"data": patch["data"]})
    assert after.pop("info") == before.pop("info") | {"status": "failed", "description": "helm was killed; marked failed by meshinstall"}
    assert after == before
    assert decode({**pending, "data": patch["data"]}).status is ReleaseStatus.FAILED


def test_a_record_that_is_not_pending_is_left_alone() -> None:
    with pytest.raises(ConflictError, match="is deployed, not pending"):
        mark_failed(HELM3[1], "x")


def test_a_word_that_no_helm_knows_yet_is_unknown() -> None:
    assert decode(record(info={"status": "dreaming"})).status is ReleaseStatus.UNKNOWN


DELETES: list[dict[str, Any]] = [{"name": "x", "kind": "Job", "events": ["pre-delete"]}]


@pytest.mark.parametrize(
    ("hooks", "named"),
    [
        (None, ()),
        ([], ()),
        ([{"name": "x", "kind": "Pod", "events": ["test"]}], ()),
        (DELETES, ("Job x",)),
        ([{"name": "x", "kind": "Job", "events": ["post-install", "post-delete"]}], ("Job x",)),
        ([{"name": "x", "kind": "Job", "Events": ["pre-delete"], "events": []}], ("Job x",)),
        ([{"name": "x", "kind": "Job"}, 7], ("Job x", "unknown")),
        ({"a": 1}, ("unknown",)),
    ],
)
def test_hooks_of_an_uninstall_are_named(hooks: object, named: tuple[str, ...]) -> None:
    assert decode(record(hooks=hooks)).hooks == named


@pytest.mark.parametrize("field", ["Manifest", "HOOKS", "hoo\u212as", "Info", "Name"])
def test_a_field_that_helm_takes_for_another_one_is_refused(field: str) -> None:
    """Go compares names of fields without their case; of two the last counts."""
    odd: dict[str, Any] = {field: "x"}
    with pytest.raises(ClusterError, match=r"it has a field "):
        decode(record(**odd))


def test_a_record_that_unfolds_takes_no_more_memory_than_its_bound() -> None:
    packer = zlib.compressobj(1, wbits=31)
    packed = b"".join([*(packer.compress(bytes(MAX_RECORD)) for _ in range(4)), packer.flush()])
    tracemalloc.start()
    try:
        with pytest.raises(ClusterError, match="it unpacks to more than 64 MiB"):
            decode(record(packed))
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_RECORD
    finally:
        tracemalloc.stop()
