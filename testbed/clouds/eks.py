"""EKS, STS and EC2 as far as meshinstall asks them: moto, with its gaps filled and every request's signature checked."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, unquote

from testbed.clouds.eks_answers import Answer, assumed, error, json_answer, xml_answer
from testbed.clouds.eks_identity import Identity, Keys, RefusedError, Signed, path_and_query
from testbed.clouds.eks_logins import UNSIGNED, Logins
from testbed.clouds.eks_sts import caller
from testbed.clouds.eks_trusts import Trust

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# The IAM action of each request of the EKS API: method, path, action.
_ACTIONS = (
    ("GET", r"/clusters", "ListClusters"),
    ("GET", r"/cluster-versions", "DescribeClusterVersions"),
    ("GET", r"/clusters/[^/]+", "DescribeCluster"),
    ("GET", r"/clusters/[^/]+/node-groups", "ListNodegroups"),
    ("GET", r"/clusters/[^/]+/node-groups/[^/]+", "DescribeNodegroup"),
    ("GET", r"/clusters/[^/]+/fargate-profiles", "ListFargateProfiles"),
    ("GET", r"/clusters/[^/]+/fargate-profiles/[^/]+", "DescribeFargateProfile"),
    ("GET", r"/clusters/[^/]+/access-entries", "ListAccessEntries"),
)
# Items of one answer.
_PAGE = 100
Fault = Callable[[], Answer]


@dataclass(slots=True)
class Aws:
    """The fake's state: who may do what, and what moto does not hold."""

    keys: Keys = field(default_factory=Keys)
    roles: dict[str, timedelta] = field(default_factory=dict)  # those that may be assumed, and for how long
    trusts: dict[str, Trust] = field(default_factory=dict)  # by role, where its trust policy asks for more than who it is
    guardrails: dict[str, str] = field(default_factory=dict)  # by action: why the organization denies it to everybody, in AWS's words
    regions_off: set[str] = field(default_factory=set)  # opt-in regions that the account has not enabled
    hides_managed: bool = False  # instances are shown only to those who ask for managed resources too
    access_entries: list[str] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)  # for the next request of an action
    asked: list[str] = field(default_factory=list)
    url: str = ""
    logins: Logins = field(init=False)

    def __post_init__(self) -> None:
        """Logins give sessions of the same keys."""
        self.logins = Logins(self.keys)

    def fail(self, action: str, *faults: Fault) -> None:
        """Answer the next requests of ``action`` with these, one each."""
        self.faults += [(action, fault) for fault in faults]


def refuse(status: int, code: str, message: str = "told to") -> Fault:
    """An error as the EKS API words it."""
    return lambda: error("eks", RefusedError(status, code, message))


def say(body: bytes, content: str = "application/json", length: int = -1) -> Fault:
    """An answer of any kind; with a ``length`` longer than it is, one that is cut off."""
    return lambda: (200, {"Content-Type": content, "Content-Length": str(len(body) if length < 0 else length)}, body)


def hang(until: threading.Event) -> Fault:
    """No answer until somebody sets ``until``."""

    def fault() -> Answer:
        until.wait(60)
        return 500, {}, b""

    return fault


@contextmanager
def serving(aws: Aws, address: str = "127.0.0.1", port: int = 0) -> Iterator[Aws]:
    """Serve, on any port unless one is given, while the block runs; ``aws.url`` is for AWS_ENDPOINT_URL."""
    from moto.moto_api._internal import moto_api_backend
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):  # type: ignore[misc] # moto ships no types
        def make_environ(self) -> "WSGIEnvironment":
            # Werkzeug drops headers with an underscore; this one is AWS's own name.
            environ: WSGIEnvironment = super().make_environ()
            return environ | {"HTTP_X_AMZ_SSO_BEARER_TOKEN": self.headers.get("x-amz-sso_bearer_token", "")}

        def log(self, *_: object) -> None:
            """Say nothing."""

    application = _Gate(aws, DomainDispatcherApplication(create_backend_app))
    server = make_server(address, port, application, threaded=True, request_handler=Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    aws.url = f"http://{address}:{server.server_port}"
    try:
        yield aws
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        # Moto's accounts are the process's.
        moto_api_backend.reset()


class _Gate:
    """Checks who asks, plays faults, answers what moto cannot, and leaves the rest to moto."""

    def __init__(self, aws: Aws, moto: "WSGIApplication") -> None:
        self._aws = aws
        self._moto = moto

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        request = _request(environ)
        service, name = _asked(request)
        action = f"{service}:{name}"
        self._aws.asked.append(action)
        if fault := self._fault(action):
            return _send(start, *fault())
        try:
            own = self._aws.logins.answer(action, request) or self._signed(service, action, request)
        except RefusedError as refusal:
            return _send(start, *error(service, refusal))
        return _send(start, *own) if own else self._moto(environ, start)

    def _signed(self, service: str, action: str, request: Signed) -> Answer | None:
        identity = self._aws.keys.of_header(request)
        if _region(request) in self._aws.regions_off:
            raise RefusedError(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if action in identity.denied or action in self._aws.guardrails:
            raise _denied(service, identity, action, self._aws.guardrails.get(action, ""))
        return self._own(action, request, identity)

    def _fault(self, action: str) -> Fault | None:
        for waiting in self._aws.faults:
            if waiting[0] == action:
                self._aws.faults.remove(waiting)
                return waiting[1]
        return None

    def _own(self, action: str, request: Signed, identity: Identity) -> Answer | None:
        match action:
            case "sts:GetCallerIdentity":
                found = caller(identity)["GetCallerIdentityResponse"]
                return xml_answer("GetCallerIdentity", found["GetCallerIdentityResult"])  # type: ignore[index]
            case "sts:AssumeRole":
                return self._assume(identity, dict(parse_qsl(request.body.decode())))
            case "ec2:DescribeInstances" if self._aws.hides_managed and b"IncludeManagedResources=true" not in request.body:
                return 200, {"Content-Type": "text/xml"}, b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"
            # Moto 5.2 has no route for these.
            case "eks:ListAccessEntries":
                return _page("accessEntries", self._aws.access_entries, dict(parse_qsl(request.query)))
            case "eks:DescribeClusterVersions":
                return json_answer({"clusterVersions": self._aws.versions})
        return None

    def _assume(self, identity: Identity, form: Mapping[str, str]) -> Answer:
        role, session = form["RoleArn"], form["RoleSessionName"]
        if role not in self._aws.roles:
            raise RefusedError(403, "AccessDenied", f"User is not authorized to perform: sts:AssumeRole on resource: {role}")
        self._aws.trusts.get(role, Trust()).check(identity.arn, role, form)
        return assumed("AssumeRole", self._aws.keys.session(role, session), datetime.now(UTC) + self._aws.roles[role])


def _page(key: str, items: Sequence[str], query: Mapping[str, str]) -> Answer:
    """A hundred of a list at most, as the EKS API gives them."""
    start = int(query.get("nextToken", "0"))
    end = start + min(int(query.get("maxResults", _PAGE)), _PAGE)
    return json_answer({key: items[start:end], **({"nextToken": str(end)} if end < len(items) else {})})


def _request(environ: "WSGIEnvironment") -> Signed:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    # Moto reads it again.
    import io

    environ["wsgi.input"] = io.BytesIO(body)
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    path, query = path_and_query(environ["REQUEST_URI"])
    return Signed(environ["REQUEST_METHOD"], path, query, headers, body)


def _region(request: Signed) -> str:
    found = re.search(r"Credential=[^/]+/\d+/([^/]+)/", request.headers.get("authorization", ""))
    return found[1] if found else ""


def _asked(request: Signed) -> tuple[str, str]:
    """Service and action; the service is in the signature's scope, where moto reads it too."""
    found = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", request.headers.get("authorization", ""))
    if not found and request.path in UNSIGNED:
        return UNSIGNED[request.path]
    service = found[1] if found else "sts"
    if service != "eks":
        return service, parse_qs(request.body.decode()).get("Action", ["?"])[0]
    path = unquote(request.path) if "%2F" not in request.path else request.path
    return service, next((name for method, form, name in _ACTIONS if method == request.method and re.fullmatch(form, path)), "?")


def _denied(service: str, identity: Identity, action: str, why: str) -> RefusedError:
    said = f"User: {identity.arn} is not authorized to perform: {action}{f' {why}' if why else ''}"
    if service == "ec2":
        return RefusedError(403, "UnauthorizedOperation", f"You are not authorized to perform this operation. {said}")
    return RefusedError(403, "AccessDenied" if service == "sts" else "AccessDeniedException", said)


def _send(start: "StartResponse", status: int, headers: Mapping[str, str], body: bytes) -> Iterable[bytes]:
    start(f"{status} Told", [*headers.items(), *(() if "Content-Length" in headers else (("Content-Length", str(len(body))),))])
    return [body]
