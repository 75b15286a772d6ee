"""``meshinstall snapshot`` of a real mesh: what is in it, that no byte of it is a secret, and that a changed one is refused."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pyrage
import pytest

from testbed.cluster import Cluster
from tests.cluster.mesh import Shell, namespace
from tests.cluster.meshinstall_run import REPOSITORY, Done, Program, meshinstall

pytestmark = pytest.mark.cluster

SCHEMA = json.loads((REPOSITORY / "docs" / "schemas" / "snapshot.json").read_text())
NETWORKING = "networking.istio.io"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJleGFtcGxlIn0.c2lnbmF0dXJl"  # noqa: S105 - nobody's
# What differs between two snapshots of one mesh; the second one has no verdict.
CHANGING = {"times.json", "manifest.dsse.json", "authority.age", "verdict.json"}


def istio(version: str, kind: str, name: str, spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"{NETWORKING}/{version}", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


ROUTE = istio("v1", "VirtualService", "web", {"hosts": ["shop.example"], "http": [{"route": [{"destination": {"host": "web"}}]}]})
PATCH = {"operation": "MERGE", "value": {"metadata": {"filter_metadata": {"auth": {"header": f"Bearer {TOKEN}"}}}}}
FILTER = istio("v1alpha3", "EnvoyFilter", "auth", {"configPatches": [{"applyTo": "CLUSTER", "patch": PATCH}]})


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    found = meshinstall(own_module_cluster)
    found.up("--no-verify")
    return found


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    return Shell(own_module_cluster, (build_part("kubectl"),))


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    """A private and a public key, as the page makes them."""
    private, public = str(tmp_path / "snapshot.key"), str(tmp_path / "snapshot.pub")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


def checked(folder: Path, public: str) -> Done:
    argv = [sys.executable, "-m", "meshinstall", "snapshot", "verify", str(folder), "--key", public]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def document(folder: Path, name: str) -> Any:
    found = json.loads((folder / f"{name}.json").read_text())
    jsonschema.validate(found, {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})
    return found


def test_a_mesh_is_kept_without_any_secret_and_what_is_changed_is_refused(
    program: Program, shell: Shell, keys: tuple[str, str], tmp_path: Path
) -> None:
    private, public = keys
    shell.apply(namespace("shop", **{"istio-injection": "enabled"}), ROUTE, FILTER)
    flags = ("--sign-with", private, "--into")

    refused = program.run("snapshot", *flags, str(tmp_path / "refused"), "--no-verify")
    assert refused.status == 1, refused
    assert "EnvoyFilter/shop/auth: spec.configPatches.0.patch" in refused.err
    assert TOKEN not in refused.err + refused.out

    identity = pyrage.x25519.Identity.generate()
    kept, again = tmp_path / "kept", tmp_path / "again"
    authority = ("--include-authority", str(identity.to_public()), "--leave-out", "EnvoyFilter/shop/auth")
    program.ok("snapshot", *flags, str(kept), *authority)
    program.ok("snapshot", *flags, str(again), *authority, "--no-verify")
    assert checked(kept, public).status == 0
    _insist_on_content(kept)
    _insist_on_no_secret(kept, shell, identity)

    first, second = contents(kept), contents(again)
    assert first.keys() == second.keys()
    assert {path for path in first if first[path] != second[path]} == CHANGING

    (again / "objects" / f"virtualservices.{NETWORKING}.jsonl").write_bytes(
        b"{}\n" + b" " * (len(first[f"objects/virtualservices.{NETWORKING}.jsonl"]) - 3)
    )
    changed = checked(again, public)
    assert changed.status == 1, changed
    assert "is not what was recorded" in changed.err


def _insist_on_content(kept: Path) -> None:
    mesh, gateways, verdict = (document(kept, name) for name in ("mesh", "gateways", "verdict"))
    for name in ("desired", "releases", "namespaces", "secrets", "left-out", "times"):
        document(kept, name)
    assert mesh["trustDomain"] == "cluster.local"
    assert mesh["roots"] == mesh["authority"]["fingerprints"]
    assert [plane["name"] for plane in mesh["controlPlanes"]] == ["istiod"]
    assert [one["name"] for one in gateways["gateways"]] == ["istio-ingress"]
    assert gateways["gateways"][0]["addresses"]
    assert verdict["asked"] is True
    assert {one["name"] for one in document(kept, "namespaces")["namespaces"]} >= {"shop"}
    route = json.loads((kept / "objects" / f"virtualservices.{NETWORKING}.jsonl").read_text())
    assert route == {"keeper": None, "object": ROUTE}
    assert document(kept, "left-out")["leftOut"][0]["name"] == "EnvoyFilter/shop/auth"


def _insist_on_no_secret(kept: Path, shell: Shell, identity: Any) -> None:
    """Neither the CA's key, as PEM, in base64 or in parts, nor the token is anywhere; the sealed Secret is the one of the cluster."""
    secret = json.loads(shell.ok("kubectl", "get", "secret", "-n", "istio-system", "istio-ca-secret", "-o", "json"))
    key = base64.b64decode(secret["data"]["ca-key.pem"])
    parts = [secret["data"]["ca-key.pem"].encode(), TOKEN.encode(), *re.findall(rb"^[A-Za-z0-9+/]{40,}", key, re.MULTILINE)]
    assert len(parts) > 3
    assert [path for path, data in contents(kept).items() if any(part in data for part in parts)] == []
    opened = json.loads(pyrage.decrypt((kept / "authority.age").read_bytes(), [identity]))
    assert opened["data"] == secret["data"]
