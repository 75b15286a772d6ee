"""A snapshot of a mesh in memory: what is in it, what is never in it, and when there is none."""

import base64
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pyrage
import pytest

from meshinstall.adapters.recovery.folder import check
from meshinstall.adapters.recovery.sealing import AgeSealer
from meshinstall.errors import ChartError, ForbiddenError, SnapshotError, UsageError
from meshinstall.model.snapshot import TIMES
from tests.fake_kube import forbidden
from tests.unit.cli.verdicts import VERDICT
from tests.unit.engine.installed import ISTIOD
from tests.unit.engine.snapshot.mesh import (
    PLANTED,
    SYSTEM,
    contents,
    document,
    folders,
    istio,
    lines,
    mesh,
    put_release_value,
    taken,
)

pytestmark = pytest.mark.anyio

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/schemas/snapshot.json").read_text())
SERVICES = "objects/virtualservices.networking.istio.io.jsonl"
FILTERS = "objects/envoyfilters.networking.istio.io.jsonl"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJleGFtcGxlIn0.c2lnbmF0dXJl"
LUA = {"configPatches": [{"patch": {"value": {"inlineCode": f'h:add("authorization", "Bearer {JWT}")'}}}]}
LEAKY = istio("EnvoyFilter", "lua", LUA, "networking.istio.io/v1alpha3")


async def test_an_object_is_kept_as_it_was_wanted(tmp_path: Path) -> None:
    await taken(await mesh(tmp_path), tmp_path / "kept")
    web = next(one for one in lines(tmp_path / "kept", SERVICES) if one["object"]["metadata"]["name"] == "web")
    assert web == {
        "keeper": None,
        "object": {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "web", "namespace": "shop", "annotations": {"team.example/owner": "a"}},
            "spec": {"hosts": ["shop.example"]},
        },
    }


async def test_what_somebody_else_makes_again_is_marked(tmp_path: Path) -> None:
    await taken(await mesh(tmp_path), tmp_path / "kept")
    keepers = {one["object"]["metadata"]["name"]: one["keeper"] for one in lines(tmp_path / "kept", SERVICES)}
    assert keepers == {"argo": "Argo CD Application shop", "owned": "Rollout web", "web": None}


async def test_what_is_being_deleted_is_not_wanted(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    there.kube.put(istio("VirtualService", "going", {"hosts": ["c"]}, deletionTimestamp="2026-11-21T12:00:00Z"))
    await taken(there, tmp_path / "kept")
    assert "going" not in (tmp_path / "kept" / SERVICES).read_text()


@pytest.mark.parametrize("mark", [{"deletionTimestamp": "2026-11-21T12:00:00Z"}, {"annotations": {"meshinstall.dev/holder": "ann"}}])
async def test_nothing_of_a_namespace_that_passes_is_wanted(tmp_path: Path, mark: Any) -> None:
    there = await mesh(tmp_path)
    labels = {"istio-injection": "enabled"}
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "probes", "labels": labels, **mark}})
    there.kube.put(istio("VirtualService", "probe", {"hosts": ["d"]}, namespace="probes"))
    await taken(there, tmp_path / "kept")
    assert not [path for path, data in contents(tmp_path / "kept").items() if b"probe" in data]


async def test_who_the_mesh_is_stands_in_it_without_a_key(tmp_path: Path) -> None:
    done = await taken(await mesh(tmp_path), tmp_path / "kept")
    found = document(tmp_path / "kept", "mesh.json")
    assert found["authority"]["secret"] == "istio-system/cacerts"  # noqa: S105 - the name of a Secret
    assert found["authority"]["fingerprints"] == found["roots"]
    assert len(found["roots"]) == 1
    assert found["authority"]["included"] is False
    assert any("cannot keep the trust" in one for one in done.warnings)


async def test_secrets_are_named_with_the_fingerprints_of_certificates(tmp_path: Path) -> None:
    await taken(await mesh(tmp_path), tmp_path / "kept")
    rows = {(row["namespace"], row["name"]): row for row in document(tmp_path / "kept", "secrets.json")["secrets"]}
    shop = rows["istio-ingress", "shop-tls"]
    assert shop["found"] is True
    assert shop["fingerprints"] == document(tmp_path / "kept", "mesh.json")["roots"]
    assert shop["namedBy"] == ["Gateway shop/web"]
    assert rows["istio-system", "remote"]["namedBy"] == ["cluster west"]


@pytest.mark.parametrize("name", ["..", ".", "kubernetes-gateway://shop/tls"])
async def test_what_is_not_a_name_of_a_secret_is_not_asked_for(tmp_path: Path, name: str) -> None:
    """A tenant writes it, and a path of an API server with .. leads to something else."""
    there = await mesh(tmp_path)
    there.kube.put(istio("Gateway", "odd", {"servers": [{"tls": {"credentialName": name}}]}))
    there.kube.objects[f"/api/v1/namespaces/shop/secrets/{quote(name, safe='')}"] = {"data": {}}
    await taken(there, tmp_path / "kept")
    found = [row for row in document(tmp_path / "kept", "secrets.json")["secrets"] if row["name"] == name]
    assert {row["found"] for row in found} == {False}


async def test_namespaces_keep_labels_of_istio_alone(tmp_path: Path) -> None:
    await taken(await mesh(tmp_path), tmp_path / "kept")
    rows = document(tmp_path / "kept", "namespaces.json")["namespaces"]
    assert {"name": "shop", "labels": {"istio-injection": "enabled"}} in rows
    assert "istio-system" not in [row["name"] for row in rows]


async def test_the_desired_state_says_where_each_value_was_written(tmp_path: Path) -> None:
    await taken(await mesh(tmp_path), tmp_path / "kept")
    releases = document(tmp_path / "kept", "desired.json")["releases"]
    assert [one["name"] for one in releases][:2] == ["istio-base", "istiod"]
    assert all((tmp_path / "kept" / one["chart"]["file"]).is_file() for one in releases)
    assert all(origin["source"] for one in releases for origin in one["origins"])


async def test_no_byte_of_a_snapshot_is_a_secret(tmp_path: Path) -> None:
    await taken(await mesh(tmp_path), tmp_path / "kept")
    encoded = base64.b64encode(PLANTED.encode())
    leaked = [path for path, data in contents(tmp_path / "kept").items() if PLANTED.encode() in data or encoded in data]
    assert leaked == []


@pytest.mark.parametrize(
    "leaky",
    [
        LEAKY,
        istio("WasmPlugin", "wasm", {"pluginConfig": {"apiKey": PLANTED}}, "extensions.istio.io/v1alpha1"),
        istio("ServiceEntry", "db", {"hosts": [f"https://ann:{PLANTED}@db.example"]}),
        istio("VirtualService", "auth", {"http": [{"headers": {"request": {"set": {"authorization": f"Basic {PLANTED}"}}}}]}),
    ],
    ids=lambda one: str(one["kind"]),
)
async def test_an_object_that_holds_a_secret_stops_the_snapshot_with_its_field(tmp_path: Path, leaky: Any) -> None:
    there = await mesh(tmp_path)
    plural = {"WasmPlugin": "wasmplugins", "EnvoyFilter": "envoyfilters"}.get(leaky["kind"])
    if plural:
        there.kube.objects[f"/apis/{leaky['apiVersion']}/namespaces/shop/{plural}/{leaky['metadata']['name']}"] = dict(leaky)
    else:
        there.kube.put(leaky)
    with pytest.raises(SnapshotError) as caught:
        await taken(there, tmp_path / "kept")
    assert f"{leaky['kind']}/shop/{leaky['metadata']['name']}: spec." in caught.value.message
    assert PLANTED not in caught.value.in_one_line()
    assert folders(tmp_path) == []


async def test_an_object_with_a_secret_is_left_out_by_name_and_is_never_in_it(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    there.kube.put(LEAKY, istio("EnvoyFilter", "good", {"configPatches": []}, "networking.istio.io/v1alpha3"))
    done = await taken(there, tmp_path / "kept", leave_out=frozenset({"EnvoyFilter/shop/lua", "EnvoyFilter/shop/good"}))
    assert done.left_out == {"EnvoyFilter/shop/lua": ("spec.configPatches.0.patch.value.inlineCode",)}
    assert [one["object"]["metadata"]["name"] for one in lines(tmp_path / "kept", FILTERS)] == ["good"]
    assert document(tmp_path / "kept", "left-out.json")["leftOut"][0]["name"] == "EnvoyFilter/shop/lua"
    assert any("EnvoyFilter/shop/good" in one for one in done.warnings)
    assert not [path for path, data in contents(tmp_path / "kept").items() if JWT.encode() in data]


async def test_a_secret_in_a_release_or_in_a_file_stops_the_snapshot(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    put_release_value(there, pilot={"env": {"VAULT_TOKEN": PLANTED}})
    with pytest.raises(SnapshotError, match=r"Release/istio-system/istiod: pilot\.env\.VAULT_TOKEN"):
        await taken(there, tmp_path / "kept")
    with pytest.raises(SnapshotError, match=r"File/meshinstall\.yaml: a line or comment"):
        await taken(await mesh(tmp_path), tmp_path / "kept", files={"meshinstall.yaml": f"a: 1 # password: {PLANTED}\n"})


async def test_a_secret_in_a_chart_stops_the_snapshot(tmp_path: Path) -> None:
    def unpack(_: Path) -> Any:
        yield "istiod/templates/extra.yaml", b"-----BEGIN PRIVATE KEY-----"

    with pytest.raises(SnapshotError, match="Chart/base: istiod/templates/extra"):
        await taken(await mesh(tmp_path), tmp_path / "kept", unpack=unpack)


async def test_two_snapshots_of_one_mesh_differ_in_times_alone(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    await taken(there, tmp_path / "one")
    for key in list(there.kube.objects):
        # Another order, as after a restore of etcd.
        there.kube.objects[key] = there.kube.objects.pop(key)
    there.kube.objects = dict(reversed(there.kube.objects.items()))
    await taken(there, tmp_path / "two")
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one.keys() == two.keys()
    assert {path for path in one if one[path] != two[path]} <= {TIMES, "manifest.dsse.json"}


async def test_the_authority_is_sealed_to_its_recipients_when_it_is_asked_for(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    await taken(await mesh(tmp_path), tmp_path / "kept", sealer=AgeSealer([str(identity.to_public())]))
    sealed = (tmp_path / "kept" / "authority.age").read_bytes()
    assert PLANTED.encode() not in sealed
    opened = pyrage.decrypt(sealed, [identity])
    assert base64.b64encode(f"key {PLANTED}".encode()) in opened
    assert document(tmp_path / "kept", "mesh.json")["authority"]["recipients"] == [str(identity.to_public())]
    assert not [path for path, data in contents(tmp_path / "kept").items() if PLANTED.encode() in data]


async def test_an_authority_that_is_asked_for_and_not_there_stops_the_snapshot(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    del there.kube.objects[f"{SYSTEM}/secrets/cacerts"]
    sealer = AgeSealer([str(pyrage.x25519.Identity.generate().to_public())])
    with pytest.raises(SnapshotError, match="neither Secret istio-system/cacerts nor istio-system/istio-ca-secret"):
        await taken(there, tmp_path / "kept", sealer=sealer)


async def test_secrets_that_may_not_be_read_are_told(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    for name in ("cacerts", "istio-ca-secret"):
        there.kube.refusals[f"GET {SYSTEM}/secrets/{name}"] = forbidden("secrets")
    await taken(there, tmp_path / "kept")
    assert "forbidden" in document(tmp_path / "kept", "mesh.json")["authority"]["unread"]


async def test_objects_that_may_not_be_listed_stop_the_snapshot(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    there.kube.refusals["LIST /apis/networking.istio.io/v1/virtualservices"] = forbidden("virtualservices")
    with pytest.raises(ForbiddenError):
        await taken(there, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


async def test_a_release_of_another_chart_than_the_one_in_the_snapshot_is_told(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    there.releases.records[ISTIOD] = replace(there.releases.records[ISTIOD], version="1.30.9")
    done = await taken(there, tmp_path / "kept")
    assert any("istio-system/istiod is 1.30.9" in one for one in done.warnings)


async def test_another_run_at_work_is_told(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    lease = {"metadata": {"name": "meshinstall", "namespace": "istio-system"}, "spec": {"holderIdentity": "bob@laptop/8-1"}}
    there.kube.objects["/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/meshinstall"] = lease
    done = await taken(there, tmp_path / "kept")
    assert any("bob@laptop/8-1" in one for one in done.warnings)


async def test_without_a_chart_there_is_no_snapshot(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    there.charts.missing = {"istiod"}
    with pytest.raises(ChartError):
        await taken(there, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


async def test_only_its_owner_reads_a_snapshot_and_it_is_whole(tmp_path: Path) -> None:
    done = await taken(await mesh(tmp_path), tmp_path / "kept")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "kept", *(tmp_path / "kept").rglob("*")] if path.is_dir()} == {0o700}
    assert check(tmp_path / "kept", None).files == done.files


async def test_a_snapshot_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(UsageError, match="exists"):
        await taken(await mesh(tmp_path), tmp_path / "kept")


async def test_every_document_is_as_its_schema_says(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    there.kube.put(LEAKY)
    kept = tmp_path / "kept"
    await taken(there, kept, leave_out=frozenset({"EnvoyFilter/shop/lua"}), verdict=VERDICT)
    documents = [path for path in contents(kept) if path.endswith(".json") and not path.startswith(("files/", "manifest"))]
    assert len(documents) == 10
    for path in documents:
        _insist(path.removesuffix(".json"), document(kept, path))
    for path in contents(kept):
        for one in lines(kept, path) if path.endswith(".jsonl") else ():
            _insist("object", one)
    envelope = document(kept, "manifest.dsse.json")
    _insist("envelope", envelope)
    _insist("manifest", json.loads(base64.b64decode(envelope["payload"])))


def _insist(name: str, value: Any) -> None:
    jsonschema.validate(value, {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


async def test_the_verdict_is_kept_without_times_and_pods(tmp_path: Path) -> None:
    there = await mesh(tmp_path)
    probe = replace(VERDICT.ports[0], workload="a-target-of-ours", ours=True)
    await taken(there, tmp_path / "kept", verdict=replace(VERDICT, ports=(*VERDICT.ports, probe)))
    found = document(tmp_path / "kept", "verdict.json")
    assert found["verdict"] == VERDICT.outcome
    assert {(row["workload"], row["port"] or 0) for row in found["ports"]} == {
        (one.workload, one.port) for one in VERDICT.ports if not one.ours
    }
    assert document(tmp_path / "kept", TIMES)["verifiedAt"] == VERDICT.at.isoformat()
    assert VERDICT.at.isoformat() not in (tmp_path / "kept" / "verdict.json").read_text()
    await taken(there, tmp_path / "without")
    assert document(tmp_path / "without", "verdict.json")["asked"] is False
