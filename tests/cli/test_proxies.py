"""The command ``proxies`` on a cluster in memory: it reads, and ends with 0, whatever there is."""

import json

import pytest

from meshinstall import wiring
from meshinstall.model.paths import object_path
from tests.cli.running import Run
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine.observe.test_proxies import mesh

ASKED = ("proxies", "--env", "dev", "--cloud", "local")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> World:
    """A mesh with one proxy."""
    found = mesh()
    monkeypatch.setattr(wiring, "open_session", lambda *_: found.session())
    return found


def test_proxies_are_listed_without_a_lock_and_without_a_write(run: Run, there: World) -> None:
    done = run(*ASKED)
    assert done.status == 0
    assert done.out.startswith("1 proxy on kind-dev (environment dev): 1 of 1.30.4.\n")
    assert {call.split()[0] for call in there.kube.calls} == {"LIST"}


def test_programs_get_a_document(run: Run, there: World) -> None:
    assert there.kube.objects
    done = run(*ASKED, "-o", "json")
    assert done.status == 0
    assert [one["pod"] for one in json.loads(done.out)["proxies"]] == ["web-1"]


def test_a_cluster_without_a_proxy_is_named_and_no_failure(run: Run, there: World) -> None:
    del there.kube.objects[object_path("v1", "pods", "shop", "web-1")]
    done = run(*ASKED)
    assert done.status == 0
    assert done.out == "No proxy of Istio runs on kind-dev (environment dev).\n"


def test_a_cluster_that_does_not_let_pods_be_listed_is_a_failure(run: Run, there: World) -> None:
    there.kube.refusals["LIST /api/v1/pods"] = forbidden("pods")
    done = run(*ASKED)
    assert done.status == 1
    assert "cannot tell which proxies there are" in done.err
    assert done.out == ""
