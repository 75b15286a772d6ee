"""The command ``verify`` as users type it, on an API server that knows a few objects and lets nothing be changed."""

import json
import signal
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from meshinstall.__main__ import main
from tests.contracts.servers import reply, serving

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "verify.json").read_text())
PODS, NAMESPACES = "/api/v1/pods", "/api/v1/namespaces"
DEPLOYMENTS = "/apis/apps/v1/namespaces/istio-system/deployments"
SERVICES = "/api/v1/namespaces/istio-system/services"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left."""

    status: int
    out: str
    err: str


@dataclass
class Api:
    """An API server: ``lists`` by path, of ``kinds`` that it knows; all else is empty, or not there. ``requests`` are those that it got."""

    lists: dict[str, list[Json]] = field(default_factory=dict)
    kinds: dict[str, list[str]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One answer."""
        path = request.path.partition("?")[0]
        self.requests.append(f"{request.command} {path}")
        if request.command != "GET":
            reply(request, 403, json.dumps({"kind": "Status", "message": f"no right to {request.command}"}).encode())
        elif path.count("/") > 4 and path not in self.lists:
            reply(request, 404, b"{}")
        else:
            known = [{"name": name} for name in self.kinds.get(path, [])]
            reply(request, 200, json.dumps({"items": self.lists.get(path, []), "metadata": {}, "resources": known}).encode())


@pytest.fixture
def api() -> Api:
    """A cluster without Istio."""
    return Api()


@pytest.fixture
def run(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Runs ``verify`` in an empty folder and home, against ``api``."""

    class Handler(BaseHTTPRequestHandler):
        """Hands every request over."""

        def _hand(self) -> None:
            api.answer(self)

        do_GET = do_POST = do_PATCH = do_DELETE = _hand  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.delenv("MESHINSTALL_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    at_term = signal.getsignal(signal.SIGTERM)

    def one(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["meshinstall", "verify", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Ended(int(caught.value.code or 0), printed.out, printed.err)

    with serving(Handler) as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, f"http://{address}")))
        yield one
    signal.signal(signal.SIGTERM, at_term)


def kubeconfig(folder: Path, server: str) -> Path:
    """One context, ``dev``."""
    file = folder / "kubeconfig"
    clusters, contexts = [{"name": "dev", "cluster": {"server": server}}], [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}]
    users = [{"name": "dev", "user": {"token": "hunter2"}}]
    file.write_text(json.dumps({"current-context": "dev", "clusters": clusters, "contexts": contexts, "users": users}))
    return file


def ill(api: Api) -> None:
    """A mesh with a pod that has no proxy."""
    created = "2026-01-01T00:00:00Z"
    labels = {"istio-injection": "enabled"}
    api.lists[NAMESPACES] = [{"metadata": {"name": "shop", "labels": labels, "creationTimestamp": created}}]
    api.lists[PODS] = [
        {
            "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": created},
            "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
            "status": {"phase": "Running", "podIP": "10.0.0.7"},
        }
    ]


def misled(api: Api) -> None:
    """A pod whose proxy cannot be asked, behind a Service to which a rule makes clients of another namespace send plaintext."""
    istiod(api)
    created = "2026-01-01T00:00:00Z"
    labels = {"istio-injection": "enabled"}
    api.lists[NAMESPACES] = [{"metadata": {"name": name, "labels": labels, "creationTimestamp": created}} for name in ("shop", "crm")]
    proxy = {"name": "istio-proxy", "args": ["proxy", "sidecar"], "restartPolicy": "Always"}
    web = {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "creationTimestamp": created}
    spec = {
        "initContainers": [{"name": "istio-init", "args": ["istio-iptables", "-b", "*", "-i", "*"]}, proxy],
        "containers": [{"name": "app", "ports": [{"containerPort": 8080}]}],
    }
    api.lists[PODS] = [{"metadata": web, "spec": spec, "status": {"phase": "Running", "podIP": "10.0.0.7"}}]
    service = {"selector": {"app": "web"}, "clusterIP": "10.1.0.1", "ports": [{"port": 80, "targetPort": 8080}]}
    api.lists["/api/v1/services"] = [{"metadata": web, "spec": service}]
    api.kinds = {"/apis/networking.istio.io/v1": ["destinationrules"], "/apis/security.istio.io/v1": ["peerauthentications"]}
    rule = {"host": "web", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}
    api.lists["/apis/networking.istio.io/v1/destinationrules"] = [{"metadata": web, "spec": rule}]
    strict = {"name": "default", "namespace": "istio-system", "creationTimestamp": created}
    api.lists["/apis/security.istio.io/v1/peerauthentications"] = [{"metadata": strict, "spec": {"mtls": {"mode": "STRICT"}}}]


def istiod(api: Api) -> None:
    """With it probes could be started."""
    metadata = {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod", "istio.io/rev": "default"}}
    labels = {"app": "istiod"}
    spec = {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "discovery"}]}}}
    api.lists[DEPLOYMENTS] = [{"metadata": metadata, "spec": spec, "status": {"readyReplicas": 1}}]
    service = {"namespace": "istio-system", "name": "istiod"}
    api.lists[SERVICES] = [{"metadata": service, "spec": {"selector": labels}}]
    hook = {"name": "object.sidecar-injector.istio.io", "clientConfig": {"service": service}}
    api.lists[WEBHOOKS] = [{"metadata": {"name": "istio-sidecar-injector"}, "webhooks": [hook]}]


Run = Callable[..., Ended]


def document(done: Ended) -> Json:
    """What it printed, held against the schema."""
    found: Json = json.loads(done.out)
    jsonschema.validate(found, SCHEMA, format_checker=jsonschema.FormatChecker())
    return found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sample", "-1"), "-1 is not in the range x>=0"),
        (("--timeout", "0"), "Invalid value for '--timeout': 0.0 is not in the range x>=1."),
        (("--colour",), "--colour"),
        (("--env", "nowhere"), "nowhere"),
        (("--context", "elsewhere"), "no context 'elsewhere'"),
        (("--kubeconfig", "gone"), "no kubeconfig at gone"),
        (("--cluster", "prod"), "add --cloud aks, eks or gke"),
    ],
)
def test_a_mistake_is_a_sentence_and_status_2(run: Run, api: Api, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert done.out == ""
    assert api.requests == []
    assert said in done.err


def test_a_cluster_that_is_away_is_status_1(run: Run, tmp_path: Path) -> None:
    done = run("--kubeconfig", str(kubeconfig(tmp_path, "https://127.0.0.1:1")))
    assert done.status == 1
    assert done.out == ""
    assert "the API server https://127.0.0.1:1 does not answer" in done.err
    assert "hunter2" not in done.err


def test_without_istio_nothing_is_proven(run: Run) -> None:
    done = run("--read-only")
    assert done.status == 5
    assert done.out.startswith("There is no workload of a mesh to judge.")
    assert done.out.endswith("NOT PROVEN: mTLS on dev, no port of 0 workload ports.\n")
    assert document(run("--read-only", "-o", "json"))["verdict"] == "NOT PROVEN"


def test_a_violation_is_status_4_with_what_mends_it(run: Run, api: Api) -> None:
    ill(api)
    done = run("--read-only")
    assert done.status == 4
    assert "\x1b" not in done.out
    assert done.out.splitlines()[1].split() == ["FAIL", "shop/Pod", "web", "8080", "MTL020", "-"]
    assert "✗ MTL020 namespace shop of the mesh has pods without a proxy" in done.out
    assert "fix: kubectl delete pod -n shop web" in done.out
    assert document(run("--read-only", "-o", "json"))["verdict"] == "FAIL"


def test_read_only_sends_nothing_but_questions(run: Run, api: Api) -> None:
    ill(api)
    istiod(api)
    run("--read-only")
    assert {request.partition(" ")[0] for request in api.requests} == {"GET"}
    assert f"GET {PODS}" in api.requests


def test_what_may_not_be_created_is_not_proven_and_said(run: Run, api: Api) -> None:
    istiod(api)
    found = document(done := run("-o", "json"))
    assert done.status == 5
    assert "the probes cannot be started: no right to POST" in found["liveProbes"]
    assert not [request for request in api.requests if request.startswith("DELETE")]


def test_progress_is_on_stderr_and_the_document_alone_on_stdout(run: Run) -> None:
    done = run("--read-only", "-o", "json")
    assert "verify: … looking at the mesh; the wire is not tried" in done.err
    assert "verify: …" not in done.out


def test_the_page_and_the_junit_file_are_written_beside_what_is_printed(run: Run, api: Api, tmp_path: Path) -> None:
    ill(api)
    done = run("--read-only", "--html", "verify.html", "--junit", "verify.xml")
    assert done.status == 4
    assert "MTL020" in done.out
    assert "MTL020" in (tmp_path / "verify.html").read_text()
    (failure,) = ET.parse(tmp_path / "verify.xml").iter("failure")  # noqa: S314 - written by the program under test
    assert (failure.text or "").startswith("MTL020")


@pytest.mark.parametrize("flag", ["--html", "--junit"])
def test_a_file_that_cannot_be_written_is_status_2_after_the_verdict(run: Run, flag: str) -> None:
    done = run("--read-only", flag, "missing/verify")
    # What was seen is not lost.
    assert done.status == 2
    assert "NOT PROVEN: mTLS on dev" in done.out
    assert "cannot write missing/verify: No such file or directory" in done.err


def test_with_a_choice_of_namespaces_pods_of_others_are_still_clients(run: Run, api: Api) -> None:
    run("--read-only", "--namespace", "shop", "-n", "cart")
    asked = {request for request in api.requests if request.endswith("/pods")}
    assert asked == {f"GET {PODS}"}


@pytest.mark.parametrize(
    ("world", "fail_on", "ended"),
    [
        (ill, "any", (4, "FAIL: mTLS on dev, 1 FAIL of 1 workload ports.")),
        (ill, "server", (4, "FAIL: mTLS on dev (server alone), 1 FAIL of 1 workload ports.")),
        (ill, "clients", (5, "NOT PROVEN: mTLS on dev (clients alone), 1 NOT PROVEN of 1 workload ports.")),
        (misled, "any", (4, "FAIL: mTLS on dev, 1 FAIL, 1 NOT PROVEN of 2 workload ports.")),
        (misled, "server", (5, "NOT PROVEN: mTLS on dev (server alone), 2 NOT PROVEN of 2 workload ports.")),
        (misled, "clients", (4, "FAIL: mTLS on dev (clients alone), 1 FAIL, 1 PASS of 2 workload ports.")),
    ],
)
def test_the_status_and_the_last_line_are_about_those_whose_faults_count(
    run: Run, api: Api, world: Callable[[Api], None], fail_on: str, ended: tuple[int, str]
) -> None:
    world(api)
    done = run("--read-only", "--fail-on", fail_on)
    assert (done.status, done.out.splitlines()[-1]) == ended
    found = document(run("--read-only", "--fail-on", fail_on, "-o", "json"))
    assert found["failOn"] == fail_on
    assert found["verdict"] == ended[1].partition(":")[0]


def test_servers_and_clients_of_a_port_have_verdicts_of_their_own(run: Run, api: Api) -> None:
    misled(api)
    ports = {port["port"]: port for port in document(run("--read-only", "-o", "json"))["ports"]}
    assert {key: ports[8080][key] for key in ("verdict", "server", "clients")} == {
        "verdict": "FAIL",
        "server": "NOT PROVEN",
        "clients": "FAIL",
    }


def test_somebody_elses_faults_are_none_that_can_be_asked_for(run: Run) -> None:
    assert run("--fail-on", "nobody").status == 2


def test_an_environment_with_policies_is_told_what_somebody_else_opens(run: Run, api: Api, tmp_path: Path) -> None:
    misled(api)
    api.kinds["/apis/security.istio.io/v1"].append("authorizationpolicies")
    hole = {"metadata": {"name": "hole", "namespace": "shop"}, "spec": {"rules": [{}]}}
    api.lists["/apis/security.istio.io/v1/authorizationpolicies"] = [hole]
    policies = "policies: {baseline: deny-by-default, namespaces: [shop]}"
    (tmp_path / "meshinstall.yaml").write_text(f"apiVersion: meshinstall.dev/v1\nenvironments: {{dev: {{cloud: local, {policies}}}}}\n")
    found = document(run("--env", "dev", "--read-only", "-o", "json"))
    assert [one["object"] for one in found["findings"] if one["code"] == "PRE052"] == ["AuthorizationPolicy shop/hole"]
    assert [one["code"] for one in document(run("--read-only", "-o", "json"))["findings"] if one["code"] == "PRE052"] == []
