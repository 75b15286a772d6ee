"""Which files a job carries: all that a run of the project reads, and none that it could not use."""

from pathlib import Path

import pytest

from meshinstall.config.own_files import own_files
from meshinstall.config.project import load_project
from meshinstall.errors import UsageError
from tests.unit.config.projects import HEAD, Write

POLICY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec: {rules: [{from: [{source: {namespaces: [shop]}}]}]}
"""
REMOVAL = "remove: {kind: AuthorizationPolicy, namespace: shop, name: web}\n"


def test_all_files_that_a_run_reads_are_carried(write: Write) -> None:
    files = {
        "meshinstall.yaml": HEAD + "environments: {prod: {cloud: local}}\n",
        "meshinstall.lock": "charts: []\n",
        "profiles/small.yaml": "extends: minimal\n",
        "values/components/istiod.yaml": "autoscaleMin: 2\n",
        "values/clouds/eks.yaml": "{}\n",
        "values/envs/prod.yaml": "{}\n",
        "policies/base/team/web.yaml": POLICY,
        "policies/envs/prod/web.yaml": REMOVAL,
    }
    others = {
        "README.md": "no\n",
        "values/notes.txt": "no\n",
        "values/other/x.yaml": "no: 1\n",
        "plan.json": "{}\n",
        "policies/README.md": "no\n",
    }
    folder = write({**files, **others})
    assert own_files(load_project(None, {}, folder)) == files


def test_a_project_without_its_file_has_no_job(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a job needs a meshinstall\.yaml"):
        own_files(load_project(None, {}, tmp_path))


@pytest.mark.parametrize("source", ["charts", "./charts", "../charts"])
def test_charts_in_a_folder_of_the_project_are_refused_with_their_line(write: Write, source: str) -> None:
    folder = write({"meshinstall.yaml": f"{HEAD}charts:\n  source: {source}\n"})
    with pytest.raises(UsageError, match=rf"the folder {source}, .*\(meshinstall\.yaml:3\)"):
        own_files(load_project(None, {}, folder))


@pytest.mark.parametrize("source", ["oci://registry.example/charts", "https://charts.example", "/charts"])
def test_charts_that_a_pod_can_reach_are_taken(write: Write, source: str) -> None:
    folder = write({"meshinstall.yaml": f"{HEAD}charts: {{source: {source}}}\n"})
    assert list(own_files(load_project(None, {}, folder))) == ["meshinstall.yaml"]


def test_a_file_that_is_not_text_is_refused(write: Write) -> None:
    folder = write({"meshinstall.yaml": HEAD})
    project = load_project(None, {}, folder)
    (folder / "meshinstall.lock").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"meshinstall\.lock is not UTF-8 text"):
        own_files(project)
