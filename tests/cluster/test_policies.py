"""Layers of policies on a real API server with istiod's webhook: applied, put back, deleted with their files, and gone with the mesh."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from testbed import pins
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster import gateway_api, good_policies, token_shop, walk
from tests.cluster.mesh import Shell, namespace
from tests.cluster.meshinstall_run import REPOSITORY, Program, meshinstall

pytestmark = pytest.mark.cluster

_WEB = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop, annotations: {meshinstall.dev/owner: shop-team}}
spec:
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/cart]}}]
    - to: [{operation: {ports: ["8080"]}}]
"""
_FILES = {
    "base/web.yaml": _WEB,
    "base/deny.yaml": _WEB.replace("name: web", "name: no-metrics").replace("spec:", "spec:\n  action: DENY"),
    "base/peers.yaml": """apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}}}
""",
    "base/gone.yaml": _WEB.replace("name: web", "name: gone"),
    "clouds/local/gone.yaml": "remove: {kind: AuthorizationPolicy, namespace: shop, name: gone}\n",
    "envs/dev/web.yaml": """patch: {kind: AuthorizationPolicy, namespace: shop, name: web}
operations:
  - {op: test, path: /spec/rules/1/to/0/operation/ports/0, value: "8080"}
  - {op: replace, path: /spec/rules/1/to/0/operation/ports/0, value: "9090"}
""",
    "sites/dev/local/routes.yaml": """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.svc.cluster.local]
  http:
    - match: [{uri: {prefix: /admin}}]
      fault: {abort: {httpStatus: 403, percentage: {value: 100}}}
      route: [{destination: {host: web.shop.svc.cluster.local}}]
    - route: [{destination: {host: web.shop.svc.cluster.local}}]
""",
    "base/telemetry.yaml": """apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs, namespace: shop}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
""",
}
_STEPS = {
    "AuthorizationPolicy/shop/web",
    "AuthorizationPolicy/shop/no-metrics",
    "PeerAuthentication/shop/web",
    "VirtualService/shop/web",
    "Telemetry/shop/logs",
}
_OUTCOMES = ("accepted", "refused", "not proven")
_THEIRS = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "theirs", "namespace": "shop"}}
_KINDS = "authorizationpolicies,peerauthentications.security.istio.io,virtualservices,telemetries"


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell, on a cluster with the namespace of the policies."""
    found = Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))
    found.apply(namespace("shop"))
    return found


@pytest.fixture(scope="module")
def project(own_module_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The testbed's project with layers of policies."""
    folder = tmp_path_factory.mktemp("layers") / "project"
    shutil.copytree(meshinstall(own_module_cluster).env["MESHINSTALL_CONFIG"], folder, ignore=shutil.ignore_patterns("stderr.log"))
    for path, text in _FILES.items():
        (folder / "policies" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "policies" / path).write_text(text)
    return folder


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, project: Path, shell: Shell) -> Program:
    """Meshinstall with a mesh that its first run installed, the policies with it."""
    assert shell.ok("kubectl", "get", "namespace", "shop")
    found = meshinstall(own_module_cluster).having(MESHINSTALL_CONFIG=str(project))
    found.up("--no-verify")
    return found


def _names(shell: Shell) -> list[str]:
    listed = shell.ok("kubectl", "get", _KINDS, "-n", "shop", "-o", "name").split()
    return sorted(name.partition(".")[0] + "/" + name.rpartition("/")[2] for name in listed)


def test_after_up_everything_is_there_and_nothing_is_left_to_do(program: Program, shell: Shell) -> None:
    assert program.pending() == {}
    steps = {step["name"] for step in json.loads(program.run("plan", "-o", "json").out)["steps"]}
    assert steps >= _STEPS
    web = json.loads(shell.ok("kubectl", "get", "authorizationpolicy", "web", "-n", "shop", "-o", "json", "--show-managed-fields"))
    assert web["spec"]["rules"][1]["to"][0]["operation"]["ports"] == ["9090"]
    assert web["metadata"]["annotations"] == {
        "meshinstall.dev/owner": "shop-team",
        "meshinstall.dev/source": "policies/base/web.yaml, policies/envs/dev/web.yaml",
    }
    assert {entry["manager"] for entry in web["metadata"]["managedFields"]} == {"meshinstall"}


def test_what_kubectl_changed_is_drift_and_goes_back(program: Program, shell: Shell) -> None:
    void = {"spec": {"selector": {"matchLabels": {"app": "nothing"}}}}
    shell.ok("kubectl", "patch", "authorizationpolicy", "no-metrics", "-n", "shop", "--type=merge", "-p", json.dumps(void))
    swap = [{"op": "move", "from": "/spec/http/1", "path": "/spec/http/0"}]
    shell.ok("kubectl", "patch", "virtualservice", "web", "-n", "shop", "--type=json", "-p", json.dumps(swap))
    pending = program.pending()
    assert set(pending) == {"AuthorizationPolicy/shop/no-metrics", "VirtualService/shop/web"}
    assert "was edited by kubectl-patch" in pending["AuthorizationPolicy/shop/no-metrics"]["reasons"][0]
    program.up("--no-verify")
    assert program.pending() == {}


def test_a_change_that_no_moment_is_right_for_is_made_with_a_second_object(program: Program, shell: Shell, project: Path) -> None:
    deny = project / "policies/base/deny.yaml"
    deny.write_text(deny.read_text().replace("8080", "7070"))
    (project / "policies/base/more.yaml").write_text(_WEB.replace("name: web", "name: more"))
    helper = "AuthorizationPolicy/shop/no-metrics-meshinstall-meanwhile"
    changed = ["AuthorizationPolicy/shop/more", "AuthorizationPolicy/shop/no-metrics"]
    assert list(program.pending()) == [helper, *changed, f"{helper} (removed)"]
    program.up("--no-verify")
    assert program.pending() == {}
    assert [name for name in _names(shell) if "meanwhile" in name] == []


def test_a_baseline_and_an_identity_provider_are_objects_as_all_others_and_what_somebody_else_opens_is_named(
    program: Program, shell: Shell, project: Path
) -> None:
    file, before = project / "meshinstall.yaml", (project / "meshinstall.yaml").read_text()
    issuer = "https://login.example.invalid"
    provider = f"{{type: generic, issuer: '{issuer}', jwksUri: '{issuer}/keys', audiences: [shop]}}"
    file.write_text(f"{before}\nidentity: {{staff: {provider}}}\npolicies: {{baseline: deny-by-default, namespaces: [shop]}}\n")
    tokens = project / "policies/base/tokens.yaml"
    tokens.write_text("identity: {namespace: shop, name: tokens}\nproviders: [staff]\nrule: {forwardOriginalToken: true}\n")
    shell.apply({**_THEIRS, "metadata": {"name": "hole", "namespace": "shop"}, "spec": {"rules": [{}]}})
    program.up("--no-verify")
    assert program.pending() == {}
    made = json.loads(shell.ok("kubectl", "get", "requestauthentication", "tokens", "-n", "shop", "-o", "json"))
    rule = {"issuer": issuer, "jwksUri": f"{issuer}/keys", "audiences": ["shop"], "forwardOriginalToken": True}
    assert made["spec"] == {"jwtRules": [rule]}
    assert "authorizationpolicy/meshinstall-deny-by-default" in _names(shell)
    (found,) = [one for one in json.loads(program.run("plan", "-o", "json").out)["findings"] if one["code"] == "PRE052"]
    assert "kubectl-client-side-apply" in found["title"]
    shell.ok("kubectl", "delete", "authorizationpolicy", "hole", "-n", "shop")
    file.write_text(before)
    tokens.unlink()
    program.up("--no-verify")
    assert "authorizationpolicy/meshinstall-deny-by-default" not in _names(shell)


def test_a_dry_run_is_judged_by_crds_and_istiod_and_writes_nothing(program: Program, shell: Shell, tmp_path: Path) -> None:
    before = _names(shell)
    peer = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: ports, namespace: shop}\n"
    files = {
        "a-good.yaml": _WEB.replace("name: web", "name: tried"),
        "b-field.yaml": _WEB.replace("name: web", "name: typo").replace("principals:", "principal:"),
        "c-crd.yaml": f"{peer}spec:\n  portLevelMtls: {{8080: {{mode: STRICT}}}}\n",
        "d-istiod.yaml": _WEB.replace("name: web", "name: port").replace('"8080"', '"70000"'),
        "e-nowhere.yaml": _WEB.replace("namespace: shop", "namespace: nowhere"),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = program.run("policy check", str(tmp_path), "--dry-run", "-o", "json")
    assert done.status == 2, done
    found = {Path(one["source"]).name: one for one in json.loads(done.out)["dryRun"]}
    outcomes = {name: one["outcome"] for name, one in found.items()}
    assert outcomes == {name: "accepted" if name[0] in "ae" else "refused" for name in files}
    assert (found["b-field.yaml"]["line"], "principal" in found["b-field.yaml"]["text"]) == (6, True)
    assert "portLevelMtls requires selector" in found["c-crd.yaml"]["text"]
    assert "admission webhook" in found["d-istiod.yaml"]["text"]
    assert found["e-nowhere.yaml"]["text"] == "namespace nowhere does not exist; tried in default"
    assert _names(shell) == before


def test_a_webhook_without_rules_for_some_kinds_has_a_say_about_the_others_alone(program: Program, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(good_policies.text())

    def tried() -> dict[str, set[str]]:
        found = json.loads(program.run("policy check", str(tmp_path), "--dry-run", "-o", "json").out)["dryRun"]
        return {outcome: {one["object"].partition(" ")[0] for one in found if one["outcome"] == outcome} for outcome in _OUTCOMES}

    kinds = good_policies.KINDS
    assert tried() == {"accepted": kinds, "refused": set(), "not proven": set()}
    hooks = json.loads(shell.ok("kubectl", "get", "validatingwebhookconfigurations", "-o", "json"))["items"]
    for hook in hooks:
        rules = [{**rule, "apiGroups": ["security.istio.io"]} for rule in hook["webhooks"][0]["rules"]]
        patch = [{"op": "replace", "path": "/webhooks/0/rules", "value": rules}]
        shell.ok("kubectl", "patch", "validatingwebhookconfiguration", hook["metadata"]["name"], "--type=json", "-p", json.dumps(patch))
    of_security = {"AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication"}
    try:
        until(lambda: tried() == {"accepted": of_security, "refused": set(), "not proven": kinds - of_security}, 20, lambda: str(tried()))
    finally:
        for hook in hooks:
            patch = [{"op": "replace", "path": "/webhooks/0/rules", "value": hook["webhooks"][0]["rules"]}]
            shell.ok("kubectl", "patch", "validatingwebhookconfiguration", hook["metadata"]["name"], "--type=json", "-p", json.dumps(patch))


@pytest.fixture(scope="module")
def issuer() -> token_shop.Issuer:
    """An issuer of tokens."""
    return token_shop.Issuer()


@pytest.fixture(scope="module")
def tokens(program: Program, shell: Shell, project: Path, issuer: token_shop.Issuer) -> None:
    """A shop whose policies ask for tokens, as layers that a run installed."""
    shell.apply(*token_shop.objects(issuer))
    for place in (token_shop.TILL, token_shop.OUTSIDE):
        shell.ok("kubectl", "wait", "-n", place, "pod", "--all", "--for=condition=Ready", "--timeout=60s")
    for name, text in token_shop.policies(issuer).items():
        (project / f"policies/base/till/{name}.yaml").parent.mkdir(exist_ok=True)
        (project / f"policies/base/till/{name}.yaml").write_text(text)
    program.up("--no-verify")


def _decided(program: Program, project: Path, rows: tuple[token_shop.Row, ...]) -> dict[str, str]:
    """What the files say of each request."""
    table = project / "table.yaml"
    table.write_text(yaml.safe_dump({"cases": [row.case() for row in rows]}))
    done = program.run("authz test", str(table), "-o", "json")
    return {case["name"]: case["outcome"] for case in json.loads(done.out)["cases"]}


@pytest.mark.usefixtures("tokens")
def test_the_wire_does_with_every_token_and_path_what_the_files_say(
    program: Program, shell: Shell, project: Path, issuer: token_shop.Issuer
) -> None:
    rows = token_shop.rows(issuer)
    decided = _decided(program, project, rows)
    assert {"allow", "deny", "401"} == set(decided.values())
    answered: dict[str, str] = {}

    def same() -> bool:
        answered.update(token_shop.on_the_wire(shell, issuer, rows))
        return answered == decided

    until(same, 20, lambda: str({name: (answered[name], said) for name, said in decided.items() if answered[name] != said}))


@pytest.mark.usefixtures("tokens")
def test_where_istiod_cannot_read_keys_every_token_is_refused(shell: Shell, issuer: token_shop.Issuer) -> None:
    rows = tuple(map(token_shop.gone, ("cart", "gateway")))
    assert set(token_shop.on_the_wire(shell, issuer, rows).values()) == {"401"}


@pytest.mark.usefixtures("tokens")
def test_called_by_pods_with_the_callers_accounts_every_row_passes_and_nothing_is_left(
    program: Program, shell: Shell, project: Path, issuer: token_shop.Issuer
) -> None:
    gone = tuple(map(token_shop.gone, ("cart", "gateway")))
    rows = (*token_shop.rows(issuer), token_shop.mimic())
    decided = _decided(program, project, rows) | {row.name: "401" for row in gone}
    variables = {f"TOKEN_{index}": row for index, row in enumerate((*rows, *gone))}
    table = project / "table.yaml"
    table.write_text(yaml.safe_dump({"cases": [row.case(decided[row.name], name) for name, row in variables.items()]}))
    tokens = {name: row.signed(issuer) for name, row in variables.items() if row.claims is not None}
    done = program.having(**tokens).run("authz test", str(table), "--live", "--yes", "-o", "json")
    cases = {case["name"]: case for case in json.loads(done.out)["cases"]}
    assert [case for case in cases.values() if case["result"] != "PASS"] == []
    assert done.status == 0
    for row in gone:
        assert f"istiod could not read the keys of {token_shop.GONE}" in cases[row.name]["reason"]
    assert "what is behind the proxy answered HTTP 403" in cases[token_shop.mimic().name]["reason"]
    assert not any(token in done.out + done.err for token in tokens.values())
    assert _made(shell) == ""


@pytest.mark.extra
@pytest.mark.usefixtures("tokens")
def test_what_a_killed_call_left_in_namespaces_of_others_goes_with_the_next_one(program: Program, shell: Shell, project: Path) -> None:
    table = project / "table.yaml"
    table.write_text(yaml.safe_dump({"cases": [token_shop.mimic().case()]}))
    with program.started("authz test", str(table), "--live", "--yes") as run:
        run.until_it_says("calling for")
        run.end(signal.SIGKILL)
    assert _made(shell) != ""
    program.ok("authz test", str(table), "--live", "--yes")
    until(lambda: not _made(shell), 60, lambda: _made(shell))


def _made(shell: Shell) -> str:
    """What was made to call from the shop's namespace."""
    return shell.ok("kubectl", "get", "pods,envoyfilters", "-n", token_shop.TILL, "-l", "meshinstall.dev/probe", "-o", "name")


def test_of_removed_files_the_objects_go_and_of_foreign_ones_none(program: Program, shell: Shell, project: Path) -> None:
    shell.apply({**_THEIRS, "spec": {}})
    (project / "policies/base/deny.yaml").unlink()
    pending = program.pending()
    assert {name: step["action"] for name, step in pending.items()} == {"AuthorizationPolicy/shop/no-metrics": "delete"}
    program.up("--no-verify")
    (project / "policies/base/theirs.yaml").write_text(_WEB.replace("name: web", "name: theirs"))
    refused = program.run("up", "--yes", "--no-verify")
    assert refused.status == 1
    assert "PRE033: AuthorizationPolicy shop/theirs exists already and belongs to manager kubectl-client-side-apply" in refused.err
    (project / "policies/base/theirs.yaml").unlink()
    assert program.pending() == {}
    assert "authorizationpolicy/theirs" in _names(shell)


@pytest.mark.usefixtures("tokens")
def test_a_gateway_of_the_gateway_api_is_told_to_lack_its_crds_before_anything_is_written(
    program: Program, shell: Shell, project: Path
) -> None:
    shell.apply(namespace(gateway_api.FRONT))
    for name, text in gateway_api.files(token_shop.TILL).items():
        (project / f"policies/base/front/{name}.yaml").parent.mkdir(exist_ok=True)
        (project / f"policies/base/front/{name}.yaml").write_text(text)
    refused = program.run("up", "--yes", "--no-verify")
    assert refused.status != 0
    assert "the cluster has no kind Gateway of gateway.networking.k8s.io" in refused.err, refused
    assert shell.ok("kubectl", "get", "authorizationpolicies", "-n", gateway_api.FRONT, "-o", "name") == ""


@pytest.mark.usefixtures("tokens")
def test_a_gateway_of_the_gateway_api_comes_with_its_policies_and_does_what_they_say_and_goes_with_its_files(
    program: Program, shell: Shell, project: Path, build_part: Callable[[str], Path]
) -> None:
    shell.ok("kubectl", "apply", "--server-side", "-f", str(build_part("gateway-api") / "crds.yaml"))
    shell.ok("kubectl", "wait", "--for=condition=Established", "crd", "gateways.gateway.networking.k8s.io", "--timeout=30s")
    program.up("--no-verify")
    assert program.pending() == {}
    table = project / "gateway-table.yaml"
    table.write_text(gateway_api.table())
    decided = _told(program, table)
    assert decided == {"reads": "allow", "writes": "deny", "is no admin": "deny", "nor nearly": "deny"}
    where, answered = gateway_api.address(shell), {}

    def same() -> bool:
        answered.update(gateway_api.on_the_wire(where))
        return answered == decided

    until(same, 30, lambda: str(answered))
    assert _told(program, table, "--by-proxies") == decided
    assert _told(program, table, "--live", "--yes") == decided
    document = json.loads(program.ok("authz who", "--live", "--by-proxies", "-n", gateway_api.FRONT, "-o", "json").out)
    assert (document["notPushed"], document["gaps"]) == ([], [])
    shutil.rmtree(project / "policies/base/front")
    assert {step["action"] for step in program.pending().values()} == {"delete"}
    assert program.pending().keys() == gateway_api.STEPS
    program.up("--no-verify")
    assert program.pending() == {}
    kinds = "gateways.gateway.networking.k8s.io,httproutes,tcproutes,referencegrants,authorizationpolicies"
    assert shell.ok("kubectl", "get", kinds, "-n", gateway_api.FRONT, "-o", "name") == ""


def _told(program: Program, table: Path, *flags: str) -> dict[str, str]:
    """What each row of a table becomes."""
    return {case["name"]: case["outcome"] for case in json.loads(program.run("authz test", str(table), *flags, "-o", "json").out)["cases"]}


def test_the_page_leads_from_an_empty_folder_to_a_shop_that_denies(own_module_cluster: Cluster, program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "bakery"
    shutil.copytree(meshinstall(own_module_cluster).env["MESHINSTALL_CONFIG"], folder, ignore=shutil.ignore_patterns("stderr.log"))
    shutil.copy(REPOSITORY / "docs/policies/issuer.py", folder)
    port = walk.free_port()
    # The project is the testbed's, and its nodes have one image.
    changes = {"8765": port, "meshinstall init": "true", "busybox:1.37": f"{pins.APP_IMAGE}\n          imagePullPolicy: Never"}
    programs = f"{Path(sys.executable).parent}:{program.env['PATH']}"
    env = {name: value for name, value in program.env.items() if name != "MESHINSTALL_CONFIG"} | {"PATH": programs}
    found = walk.pieces(REPOSITORY / "docs/policies.md", "From an empty folder to a shop that denies")
    try:
        printed = walk.run(found, folder, env, changes)
    finally:
        subprocess.run(["bash", "-c", "kill $(cat issuer.pid)"], cwd=folder, check=False, capture_output=True)
    walk.compare(found, printed, {"8765": port})


def test_down_removes_all_of_ours_and_nothing_else(program: Program, shell: Shell, project: Path) -> None:
    shell.ok("kubectl", "delete", "namespace", token_shop.TILL, token_shop.OUTSIDE, "bakery", "--ignore-not-found")
    shutil.rmtree(project / "policies")
    program.ok("down", "--yes")
    assert _names(shell) == ["authorizationpolicy/theirs"]
