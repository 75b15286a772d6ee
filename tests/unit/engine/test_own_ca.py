"""A CA that the files name is looked at before istiod starts, and held against the roots that the mesh has."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from meshinstall.engine.planning import make_plan, refuse
from meshinstall.errors import PlanRefusedError
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.own_ca import OwnCa
from meshinstall.model.paths import object_path
from meshinstall.model.plan import Plan
from tests.authorities import KEYS, Signed, Written, authority, key_pem, pem
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine.installed import world

pytestmark = pytest.mark.anyio

MESH = replace(plans.load("fresh").desired, ca=OwnCa("cacerts", "meshinstall.yaml:9", "cluster.local"))
WITHOUT = replace(MESH, ca=None)
LASTS = Written(days=365)
OLD = authority("old root", LASTS, None, KEYS[0])
NEW = authority("new root", LASTS, None, KEYS[1])
OLD_SIGNER = authority("old signer", LASTS, OLD, KEYS[2])
NEW_SIGNER = authority("new signer", LASTS, NEW, KEYS[3])
PLACE = object_path("v1", "secrets", "istio-system", "cacerts")


def files(signer: Signed, *roots: Signed, tls: bool = False, **changed: bytes) -> dict[str, bytes]:
    """The Secret of a CA in one of its two forms."""
    certificates = pem(*(one[0] for one in roots))
    if tls:
        return {"tls.crt": pem(signer[0]), "tls.key": key_pem(signer[1]), "ca.crt": certificates}
    whole = {"ca_cert": pem(signer[0]), "ca_key": key_pem(signer[1]), "cert_chain": pem(signer[0], roots[0][0]), "root_cert": certificates}
    return {f"{name.replace('_', '-')}.pem": value for name, value in (whole | changed).items()}


def cluster(data: Mapping[str, bytes] | None, **trusted: bytes) -> World:
    """A cluster with such a Secret, and the roots that each namespace has; _ is - in its name."""
    there = world()
    if data is not None:
        coded = {name: base64.b64encode(value).decode() for name, value in data.items()}
        there.kube.objects[PLACE] = {"metadata": {"name": "cacerts", "namespace": "istio-system"}, "data": coded}
    for space, roots in trusted.items():
        name = space.replace("_", "-")
        metadata = {"name": "istio-ca-root-cert", "namespace": name}
        path = object_path("v1", "configmaps", name, "istio-ca-root-cert")
        there.kube.objects[path] = {"metadata": metadata, "data": {"root-cert.pem": roots.decode()}}
    return there


async def planned(there: World, desired: Desired = MESH) -> Plan:
    return await make_plan(desired, replace(there.session(), now=lambda: datetime.now(UTC)))


async def found(there: World, desired: Desired = MESH) -> list[Finding]:
    return [one for one in (await planned(there, desired)).findings if one.code in {"PRE058", "PRE059"}]


@pytest.mark.parametrize("tls", [False, True])
async def test_a_good_ca_of_a_new_mesh_is_no_finding_in_either_form(*, tls: bool) -> None:
    assert await found(cluster(files(OLD_SIGNER, OLD, tls=tls))) == []


@pytest.mark.parametrize(
    ("data", "title"),
    [
        (None, "Secret istio-system/cacerts does not exist"),
        ({}, "Secret istio-system/cacerts lacks ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem"),
        ({"tls.crt": pem(OLD[0]), "tls.key": key_pem(OLD[1])}, "Secret istio-system/cacerts lacks ca.crt"),
        (files(OLD_SIGNER, NEW), "workloads could not use the CA in Secret istio-system/cacerts"),
        (files(OLD_SIGNER, OLD, ca_key=key_pem(KEYS[4])), "workloads could not use the CA in Secret istio-system/cacerts"),
        (files(OLD_SIGNER, OLD, cert_chain=pem(OLD[0])), "workloads could not use the CA in Secret istio-system/cacerts"),
        (files(OLD_SIGNER, OLD, ca_cert=b"nothing"), "the CA in Secret istio-system/cacerts cannot be read"),
    ],
)
async def test_a_ca_that_cannot_serve_stops_the_run_at_the_line_that_asks_for_it(data: Mapping[str, bytes] | None, title: str) -> None:
    (finding,) = await found(cluster(data))
    assert (finding.code, finding.severity, finding.title) == ("PRE058", Severity.ERROR, title)
    assert finding.origin == "meshinstall.yaml:9"
    assert finding.hint
    assert "PRIVATE KEY" not in repr(finding)


async def test_what_ends_soon_or_today_is_told() -> None:
    soon, now = authority("soon", Written(days=30), OLD, KEYS[2]), authority("now", Written(days=0), OLD, KEYS[2])
    (finding,) = await found(cluster(files(soon, OLD)))
    assert (finding.severity, finding.title.partition(" expires")[0]) == (Severity.WARNING, "CN=soon in Secret istio-system/cacerts")
    (finding,) = await found(cluster(files(now, OLD)))
    assert finding.severity is Severity.ERROR


async def test_the_trust_domain_in_a_ca_is_held_against_that_of_the_mesh() -> None:
    named = authority("named", replace(LASTS, uri="spiffe://other.example"), OLD, KEYS[2])
    (finding,) = await found(cluster(files(named, OLD)))
    assert finding.severity is Severity.WARNING
    assert "other.example" in finding.title
    assert "cluster.local" in finding.title


async def test_another_root_than_the_mesh_has_is_refused_until_it_is_allowed() -> None:
    there = cluster(files(NEW_SIGNER, NEW), istio_system=pem(OLD[0]), shop=pem(OLD[0]))
    (finding,) = await found(there)
    assert (finding.code, finding.severity) == ("PRE059", Severity.ERROR)
    assert "istio-system, shop" in finding.detail
    plan = await planned(there)
    with pytest.raises(PlanRefusedError):
        refuse(plan, frozenset())
    refuse(plan, frozenset({"new-root"}))


@pytest.mark.parametrize(
    ("signer", "roots", "trusted", "severity"),
    [
        # The way of a rotation: both roots are known, then the new CA signs, then the old root goes.
        (OLD_SIGNER, (OLD, NEW), pem(OLD[0]), None),
        (NEW_SIGNER, (NEW, OLD), pem(OLD[0], NEW[0]), None),
        (NEW_SIGNER, (NEW,), pem(OLD[0], NEW[0]), Severity.WARNING),
        (NEW_SIGNER, (NEW, OLD), pem(OLD[0]), Severity.ERROR),
        (OLD_SIGNER, (OLD,), pem(OLD[0]), None),
    ],
)
async def test_steps_of_a_rotation_are_told_apart(
    signer: Signed, roots: tuple[Signed, ...], trusted: bytes, severity: Severity | None
) -> None:
    told = await found(cluster(files(signer, *roots), istio_system=trusted))
    assert [one.severity for one in told if one.code == "PRE059"] == ([severity] if severity else [])


async def test_the_roots_of_other_namespaces_count_where_that_of_istiod_is_gone() -> None:
    (finding,) = await found(cluster(files(NEW_SIGNER, NEW), shop=pem(OLD[0])))
    assert (finding.code, finding.severity) == ("PRE059", Severity.ERROR)
    # A namespace that istiod no longer serves keeps what it had.
    assert await found(cluster(files(NEW_SIGNER, NEW), istio_system=pem(NEW[0]), shop=pem(OLD[0]))) == []


async def test_what_may_not_be_read_is_said_and_nothing_is_claimed() -> None:
    there = cluster(files(OLD_SIGNER, OLD))
    there.kube.refusals[f"GET {PLACE}"] = forbidden(f"GET {PLACE}")
    (finding,) = await found(there)
    assert (finding.code, finding.severity) == ("PRE058", Severity.WARNING)
    assert "was not checked" in finding.title


async def test_without_a_ca_in_the_files_no_secret_is_asked_for() -> None:
    there = cluster(None)
    assert await found(there, WITHOUT) == []
    assert f"GET {PLACE}" not in there.kube.calls


def proxied(there: World, namespace: str, revision: str | None = "default") -> None:
    """A pod with a proxy, or without one."""
    notes = {} if revision is None else {"sidecar.istio.io/status": json.dumps({"revision": revision})}
    there.kube.objects[object_path("v1", "pods", namespace, "web")] = {
        "metadata": {"name": "web", "namespace": namespace, "annotations": notes}
    }


async def test_proxies_that_are_left_without_their_ca_stop_an_istiod_with_another() -> None:
    there = cluster(None, shop=pem(OLD[0]), bare=pem(OLD[0]))
    proxied(there, "shop")
    proxied(there, "bare", None)
    (finding,) = await found(there, WITHOUT)
    assert (finding.code, finding.severity) == ("PRE059", Severity.ERROR)
    assert finding.title.startswith("one proxy that is there trusts another root")
    assert "in shop;" in finding.detail
    # Another CA than theirs is no better; their own is what they need.
    there.kube.objects[PLACE] = cluster(files(NEW_SIGNER, NEW)).kube.objects[PLACE]
    (finding,) = await found(there, WITHOUT)
    assert "sign with Secret istio-system/cacerts" in finding.detail
    there.kube.objects[PLACE] = cluster(files(OLD_SIGNER, OLD)).kube.objects[PLACE]
    assert await found(there, WITHOUT) == []


async def test_roots_that_are_left_where_no_proxy_is_stop_nothing() -> None:
    there = cluster(None, shop=pem(OLD[0]))
    proxied(there, "shop", None)
    proxied(there, "other")
    assert await found(there, WITHOUT) == []
