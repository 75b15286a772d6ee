"""The command ``preview`` as a pipeline runs it: real git, charts and helm, no cluster; what a pull request holds is only read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from meshinstall.cli.output.preview_text import MARKER
from tests.cli.running import Run
from tests.contracts.github import BOT, GitHub, run_action
from tests.contracts.servers import serving

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "preview.json").read_text())
PROJECT = """\
apiVersion: meshinstall.dev/v1
charts: {source: CHARTS}
istio: {version: 1.31.0}
policies: {baseline: deny-by-default, namespaces: [shop]}
environments:
  dev: {cloud: local, profile: minimal}
  prod: {profile: minimal, clouds: {eks: {}, gke: {}}}
"""
POLICY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/cart]}}]
    to: [{operation: {methods: [GET]}}]
"""
TABLE = """\
cases:
- name: the cart does not write
  from: {serviceAccount: shop/cart}
  to: {namespace: shop, labels: {app: web}, port: 8080}
  request: {method: POST, path: /}
  expect: deny
"""
PREVIEW = ("preview", "--base", "main")
Change = Callable[..., None]


@pytest.fixture(scope="module")
def tools(build_part: Callable[[str], Path]) -> tuple[Path, Path]:
    """Folders with Istio's charts and with helm; found before a test has a home of its own."""
    return build_part("charts"), build_part("helm4")


def git(folder: Path, *arguments: str) -> None:
    names = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *arguments], cwd=folder, env={**os.environ, **names}, check=True, capture_output=True)


@pytest.fixture
def change(run: Run, tmp_path: Path, tools: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Change:
    """Commits files to a branch of a project whose ``main`` has three sites; None deletes one."""
    charts, helm = tools
    monkeypatch.setenv("PATH", f"{helm}:{os.environ['PATH']}")
    (tmp_path / "policies/base").mkdir(parents=True)
    texts = {"meshinstall.yaml": PROJECT.replace("CHARTS", str(charts)), "policies/base/web.yaml": POLICY, "table.yaml": TABLE}
    for path, text in texts.items():
        (tmp_path / path).write_text(text)
    assert run("lock", "--update", "--env", "dev", "--profile", "default").status == 0
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "meshinstall.yaml", "meshinstall.lock", "policies", "table.yaml")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "checkout", "-qb", "change")

    def one(files: dict[str, str | None]) -> None:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).unlink(missing_ok=True)
            if text is not None:
                (tmp_path / path).write_text(text.replace("CHARTS", str(charts)))
            git(tmp_path, "add", "-A", "--", path)
        git(tmp_path, "commit", "-qm", "two", "--allow-empty")

    return one


def test_a_change_that_means_nothing_is_status_0(run: Run, change: Change) -> None:
    change({"policies/base/web.yaml": f"# words\n{POLICY}"})
    done = run(*PREVIEW, "--test", "table.yaml")
    assert (done.status, done.err) == (0, "")
    assert done.out == "No site changes\nnothing changes on dev/local, prod/eks, prod/gke\n"


def test_what_becomes_wider_is_told_with_its_line_and_fails_its_test(run: Run, change: Change, tmp_path: Path) -> None:
    change({"policies/base/web.yaml": POLICY.replace("[GET]", "[GET, POST]")})
    done = run(*PREVIEW)
    assert (done.status, done.err) == (3, "")
    assert "dev/local, prod/eks, prod/gke: Istio 1.31.0" in done.out
    assert "wider      POST any path of shop: app=web becomes open to shop/cart" in done.out
    assert '~ spec.rules[0].to[0].operation.methods: ["GET"] → ["GET", "POST"]   (policies/base/web.yaml:8)' in done.out
    done = run(*PREVIEW, "--test", "table.yaml", "--junit", "out.xml", "-o", "json")
    assert done.status == 4
    found = json.loads(done.out)
    jsonschema.validate(found, SCHEMA)
    assert [(one["before"], one["after"]) for one in found["sites"][0]["tests"]] == [("PASS", "FAIL")]
    assert found["sites"][0]["tests"][0]["place"] == "table.yaml:2"
    suites = ET.parse(tmp_path / "out.xml").getroot()  # noqa: S314 - our own file
    assert (suites.get("tests"), suites.get("failures"), suites.get("errors")) == ("9", "6", "0")


def test_what_fail_on_names_is_a_violation_and_nothing_else_is(run: Run, change: Change) -> None:
    change({"policies/base/web.yaml": POLICY.replace("[GET]", "[GET, POST]")})
    done = run(*PREVIEW, "--fail-on", "weaker", "--fail-on", "wider")
    assert done.status == 4
    assert done.err == "warning: --fail-on: the change has consequences of this kind: wider\n"
    assert "wider      POST any path of shop" in done.out
    done = run(*PREVIEW, "--fail-on", "weaker", "--fail-on", "narrower")
    assert (done.status, done.err) == (3, "")
    done = run(*PREVIEW, "--fail-on", "worse")
    assert (done.status, done.out) == (2, "")
    assert "'worse' is not one of 'weaker', 'wider'" in done.err


def test_a_comment_has_a_mark_and_stays_short(run: Run, change: Change) -> None:
    many = {
        f"policies/base/p{number}.yaml": POLICY.replace("name: web", f"name: p{number}").replace("[GET]", f"[{'X' * 900}]")
        for number in range(80)
    }
    change({**many, "policies/base/web.yaml": POLICY.replace("app: web", "app: '@somebody </code> `x`'")})
    done = run(*PREVIEW, "-o", "markdown")
    assert done.status == 3
    assert done.out.startswith(f"{MARKER}\n### 3 of 3 sites change\n")
    assert 50_000 < len(done.out) <= 60_200
    assert "and more, which does not fit" in done.out


def test_the_action_comments_on_a_pull_request(change: Change, tmp_path: Path) -> None:
    change({"policies/base/web.yaml": POLICY.replace("[GET]", "[GET, POST]")})
    git(tmp_path, "update-ref", "refs/remotes/origin/release/1", "main")
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    github = GitHub()
    with serving(github.handler()) as address:
        job = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "GITHUB_WORKSPACE": str(tmp_path),
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
            "GITHUB_BASE_REF": "release/1",
            "GITHUB_REPOSITORY": "shop/mesh",
            "GITHUB_API_URL": f"http://{address}",
            "GITHUB_GRAPHQL_URL": f"http://{address}/graphql",
            "no_proxy": "*",
        }
        inputs = {"env": "prod", "cloud": "gke", "test": "table.yaml", "fail-on": "weaker, wider"}
        done = run_action(ROOT / ".github/actions/preview", inputs, job, tmp_path)
    assert (done.status, done.output) == (4, "status=4\n")
    assert "warning: --fail-on: the change has consequences of this kind: wider" in done.log
    (body,) = github.bodies(BOT)
    assert body == done.summary.rstrip("\n")
    assert body.startswith(f"{MARKER}\n### 1 of 1 site changes\n")
    assert "- **wider**: `POST any path of shop: app=web becomes open to shop/cart (policies/base/web.yaml:7)`" in body
    assert github.refused == []


def test_weaker_mtls_a_new_gateway_and_a_lost_site(run: Run, change: Change) -> None:
    text = PROJECT.replace("profile: minimal}\n", "profile: minimal, mtls: PERMISSIVE, gateways: {edge: {}}}\n").replace(", gke: {}", "")
    change({"meshinstall.yaml": text})
    found = json.loads(run(*PREVIEW, "-o", "json").out)
    jsonschema.validate(found, SCHEMA)
    told = {site["site"]: [f"{one['concern']}: {one['text']}" for one in site["summary"]] for site in found["sites"]}
    assert "weaker: mTLS by PeerAuthentication istio-system/default: STRICT → PERMISSIVE" in told["dev/local"]
    assert "weaker: Service edge/edge gets a load balancer that may be public: nothing makes it internal" in told["dev/local"]
    assert told["prod/eks"] == []
    assert told["prod/gke"] == ["access: no file describes this site any more: what is installed there stays as it is"]


def test_a_new_project_is_all_new(run: Run, change: Change, tmp_path: Path, tools: tuple[Path, Path]) -> None:
    change({})
    git(tmp_path, "checkout", "-q", "--orphan", "first")
    git(tmp_path, "rm", "-rqf", "--cached", ".")
    git(tmp_path, "commit", "-qm", "nothing", "--allow-empty")
    git(tmp_path, "branch", "empty")
    git(tmp_path, "checkout", "-q", "change", "--", ".")
    git(tmp_path, "commit", "-qam", "all of it")
    done = run("preview", "--base", "empty", "--charts", str(tools[0]))
    assert (done.status, done.err) == (3, "")
    assert "dev/local, prod/eks, prod/gke: new, Istio 1.31.0" in done.out
    assert "+ PeerAuthentication istio-system/default" in done.out


def test_a_change_cannot_name_where_charts_come_from(run: Run, change: Change, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    change({"meshinstall.yaml": PROJECT.replace("CHARTS", str(evil))})
    done = run(*PREVIEW)
    assert done.status == 3
    assert "weaker     charts would come from" in done.out
    assert "nothing changes on dev/local, prod/eks, prod/gke" in done.out


def test_a_chart_of_the_change_that_the_base_does_not_have_is_not_taken(run: Run, change: Change, tmp_path: Path) -> None:
    lock = (tmp_path / "meshinstall.lock").read_text()
    digest = next(line.split('"')[1] for line in lock.splitlines() if "digest" in line)
    change({"meshinstall.lock": lock.replace(digest, f"sha256:{'0' * 64}")})
    done = run(*PREVIEW)
    assert done.status == 1
    assert f"expected sha256:{'0' * 64}" in done.err


@pytest.mark.parametrize("path", ["meshinstall.yaml", "policies/base/more.yaml", "values", "table.yaml"])
def test_a_link_in_a_change_is_refused(run: Run, change: Change, tmp_path: Path, path: str) -> None:
    change({})
    (tmp_path / path).unlink(missing_ok=True)
    (tmp_path / path).symlink_to("/etc/hostname")
    git(tmp_path, "add", "-A", "--", path)
    git(tmp_path, "commit", "-qm", "link")
    git(tmp_path, "checkout", "-q", "main")
    done = run(*PREVIEW, "--head", "change", "--test", "table.yaml")
    assert done.status == 2
    assert f"{path} of commit" in done.err
    assert "is a link, which is not followed" in done.err


def test_mistakes_of_a_change_are_named_as_git_names_files(run: Run, change: Change) -> None:
    change({"meshinstall.yaml": PROJECT.replace("profile: minimal}", "profil: minimal}")})
    done = run(*PREVIEW)
    assert done.status == 2
    assert ":meshinstall.yaml:6:23: unknown key 'profil'" in done.err
    assert "meshinstall-" not in done.err.partition("unknown key")[0]


def test_what_is_not_committed_does_not_count(run: Run, change: Change, tmp_path: Path) -> None:
    change({})
    (tmp_path / "policies/base/web.yaml").write_text(POLICY.replace("[GET]", "[POST]"))
    assert run(*PREVIEW).status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--base", "nothing"), "'nothing' is not a commit here"),
        (("--base", "main", "--env", "nothing"), "--env nothing: neither side has such an environment"),
        (("--base", "main", "--cloud", "aks"), "neither side has a site to look at"),
        (("--base", "main", "--test", "gone.yaml"), "--test gone.yaml: not a file of commit"),
        (("--base", "main", "--test", "../table.yaml"), "outside"),
        (("--base", "main", "--junit", "gone/out.xml"), "--junit gone/out.xml: cannot be written"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_of_usage(run: Run, change: Change, arguments: tuple[str, ...], said: str) -> None:
    change({})
    done = run("preview", *arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
