"""A CA of one's own with a real istiod: one that cannot serve never reaches it, a good one signs, and another root stops the next run."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.cluster import Cluster
from testbed.waiting import until
from tests.authorities import KEYS, Signed, Written, authority, key_pem, pem
from tests.cluster.mesh import Shell, namespace
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_LASTS = Written(days=365)
_ROOT = authority("shop root", _LASTS, None, KEYS[0])
_SIGNER = authority("shop signer", _LASTS, _ROOT, KEYS[1])
_OTHER = authority("another root", _LASTS, None, KEYS[2])
_OTHER_SIGNER = authority("another signer", _LASTS, _OTHER, KEYS[3])


def _secret(signer: Signed, root: Signed, key: bytes = b"") -> dict[str, Any]:
    files = {
        "ca-cert.pem": pem(signer[0]),
        "ca-key.pem": key or key_pem(signer[1]),
        "cert-chain.pem": pem(signer[0], root[0]),
        "root-cert.pem": pem(root[0]),
    }
    data = {name: base64.b64encode(value).decode() for name, value in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": "istio-system"}, "data": data}


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Program:
    found = meshinstall(own_module_cluster)
    folder = tmp_path_factory.mktemp("own-ca") / "project"
    shutil.copytree(found.env["MESHINSTALL_CONFIG"], folder, ignore=shutil.ignore_patterns("stderr.log"))
    with (folder / "meshinstall.yaml").open("a") as file:
        file.write("\nca: {secret: cacerts}\n")
    return found.having(MESHINSTALL_CONFIG=str(folder))


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    return Shell(own_module_cluster, (build_part("kubectl"),))


def _refused(program: Program, code: str, words: str, *flags: str) -> None:
    done = program.run("up", "--yes", "--no-verify", *flags)
    assert done.status == 1, done
    assert code in done.err, done
    assert words in done.err, done
    assert "PRIVATE KEY" not in done.out + done.err


def _root(shell: Shell) -> bytes:
    """What istiod hands to proxies."""
    handed = json.loads(shell.ok("kubectl", "get", "configmap", "-n", "istio-ingress", "istio-ca-root-cert", "-o", "json"))
    return str(handed["data"]["root-cert.pem"]).encode().strip()


def test_a_ca_that_cannot_serve_never_reaches_istiod_and_a_good_one_signs(program: Program, shell: Shell) -> None:
    _refused(program, "PRE058", "Secret istio-system/cacerts does not exist")
    shell.apply(namespace("istio-system"), _secret(_SIGNER, _ROOT, key_pem(KEYS[4])))
    _refused(program, "PRE058", "its private key is that of another certificate")
    assert shell.run("kubectl", "get", "deployment", "-n", "istio-system", "istiod").returncode != 0

    shell.apply(_secret(_SIGNER, _ROOT))
    program.up()
    assert _root(shell) == pem(_ROOT[0]).strip()
    verdict = json.loads(program.ok("verify", "-o", "json").out)
    assert verdict["verdict"] == "PASS"
    assert program.pending() == {}


def test_a_run_that_would_bring_another_root_stops_until_it_is_allowed(program: Program, shell: Shell) -> None:
    shell.apply(_secret(_OTHER_SIGNER, _OTHER))
    restarts = ("--set", "istiod.podAnnotations.example=one")
    _refused(program, "PRE059", "--allow new-root", *restarts)
    assert _root(shell) == pem(_ROOT[0]).strip()
    program.up("--no-verify", "--allow", "new-root", *restarts)
    until(lambda: _root(shell) == pem(_OTHER[0]).strip(), 60, lambda: "istiod never took the other root")
