"""Kubernetes does not check what an owner reference names: what is not a kind and a name is no owner."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.engine.mesh.kube_worlds import seen


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment/x;{touch,/tmp/pwned};true", "x"),
        ("Deployment\n::error::x", "x"),
        ("Déployment", "x"),
        ("9", "x"),
        ("K" * 64, "x"),
        ("Deployment", "x\n"),
        ("Deployment", "x; reboot"),
        ("Deployment", "X"),
        ("Deployment", "-x"),
        ("Deployment", "x..y"),
        ("Deployment", "x" * 254),
        ("Deployment", ""),
        ("", "x"),
    ],
)
def test_an_owner_that_kubernetes_would_not_let_be_is_none(kind: str, name: str) -> None:
    assert seen(ownerReferences=[{"kind": kind, "name": name, "controller": True}]).workload == "Pod web"


HOSTILE = st.text(st.sampled_from("ab-.;$ '\n\x1b/#K9"), max_size=12)


@given(HOSTILE, HOSTILE, HOSTILE)
@example("", "a--b", "b")
def test_a_workloads_name_holds_no_more_than_kubernetes_allows(kind: str, name: str, template: str) -> None:
    for owner in (kind, "ReplicaSet", "Rollout"):
        owners = [{"kind": owner, "name": name, "controller": True}]
        found = seen(ownerReferences=owners, labels={"pod-template-hash": template})
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]* [a-z0-9]([-a-z0-9.]*[a-z0-9])?", found.workload)
