"""What istiod is asked to refuse in dry runs its own code refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from meshinstall.engine.objects.refusable import SPECS, versions_of
from testbed.referee.enforcer import ask_builder

pytestmark = pytest.mark.tools


def test_istiod_refuses_each_of_them(build_part: Callable[[str], Path]) -> None:
    metadata, mesh = {"name": "trial", "namespace": "shop"}, {"trustDomain": "cluster.local", "namespace": "shop", "labels": {}}
    # The webhook reads each version alike.
    questions = [
        {**mesh, "objects": [{"apiVersion": versions_of(kind)[0], "kind": kind[1], "metadata": metadata, "spec": dict(spec)}]}
        for kind, spec in SPECS.items()
    ]
    answers = ask_builder(build_part("authz") / "authz", questions)
    assert {kind: type(answer) for kind, answer in zip(SPECS, answers, strict=True) if not isinstance(answer, str)} == {}
