"""Sessions with AWS: the caller's own configuration, deadlines, bounded answers and bounded retries."""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshinstall.adapters.eks import trust
from meshinstall.adapters.eks.chosen import Login, choose
from meshinstall.adapters.eks.errors import signing_in
from meshinstall.adapters.eks.signing import use_login, use_role
from meshinstall.adapters.net.bodies import TooLongError, TooSlowError, read_pieces
from meshinstall.adapters.net.proxies import find_proxy, split_proxy
from meshinstall.errors import ClusterError, UsageError
from meshinstall.model.cluster_ref import Chosen
from meshinstall.model.foreign_text import plain

if TYPE_CHECKING:
    from botocore.session import Session

# Seconds to connect, for an answer to begin or go on, and for all of it; tries in all, with botocore's back-off in between.
_CONNECT, _READ, _WHOLE = 5, 10, 30
_TRIES = 3
# Bytes of one answer.
_MAX_ANSWER = 8 * 1024**2
_REGION = re.compile(r"[a-z0-9][-a-z0-9]{1,40}")
_ROLE = re.compile(r"arn:(aws[a-z-]{0,20}):iam::\d{12}:role/[\w+=,.@/-]{1,576}")
_ATTEMPT = re.compile(r"attempt=(\d+)")


@dataclass(frozen=True, slots=True)
class Aws:
    """The caller's session with AWS; ``say`` hears of every further try, ``chosen`` is what it was made from."""

    session: "Session"
    region: str
    say: Callable[[str], None]
    chosen: Chosen = field(default_factory=Chosen)

    def credentials(self) -> Any:
        """The caller's credentials; raises UnauthorizedError when there are none, and what it comes to to get them."""
        from botocore.exceptions import NoCredentialsError

        with signing_in(self.session, self.chosen):
            credentials = self.session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            return credentials

    def sign_in(self) -> Any:
        """The keys to sign with, before the first request: what goes wrong with them is told apart from what requests come to."""
        with signing_in(self.session, self.chosen):
            return self.credentials().get_frozen_credentials()

    def client(self, service: str, **options: Any) -> Any:
        """A client for a service; every answer is bounded in bytes and seconds. Raises UsageError for an endpoint that is not a URL."""
        try:
            client = self.session.create_client(service, **{"region_name": self.region, **options}, config=_config())
        except ValueError as error:
            if "endpoint" not in str(error).lower():
                raise
            # The endpoint itself may hold a password.
            hint = f"correct AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_{service.upper()}, or endpoint_url of the profile"
            raise UsageError(f"the endpoint that is set for {service} is not a URL", hint) from error
        return _bounded(client, self.say)


class Clients:
    """Clients for several threads: each thread has its own, because neither creating nor sharing them is safe across threads.

    The connections of one client share an SSL context, which urllib3 changes before each (see ``tls``). A further client costs 2 ms.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._making = threading.Lock()
        self._made: dict[tuple[int, str, str], Any] = {}

    def __call__(self, service: str, region: str = "") -> Any:
        """The thread's client for a service in a region; empty: that of the session."""
        key = (threading.get_ident(), service, region)
        if key not in self._made:
            with self._making:
                self._made[key] = self._aws.client(service, region_name=region or self._aws.region)
        return self._made[key]


def open_aws(selectors: Mapping[str, str], environ: Mapping[str, str], say: Callable[[str], None]) -> Aws:
    """The session of the caller that these select, or of a role it assumes, which is renewed like any other; raises UsageError."""
    own = _open(selectors, environ, say)
    if not own.region:
        profile = own.chosen.selectors.get("profile", "")
        hint = "give --region, region in meshinstall.yaml, or AWS_DEFAULT_REGION"
        raise UsageError(f"no AWS region given{f', and profile {plain(profile)} has none' if profile else ''}", hint)
    checked_region(own.region)
    return _assumed(own, selectors, environ) if selectors.get("role_arn") else own


def _open(selectors: Mapping[str, str], environ: Mapping[str, str], say: Callable[[str], None]) -> Aws:
    # boto3's core: boto3 itself adds nothing here, and a third to the start of a credential plugin.
    from botocore.exceptions import BotoCoreError, ConfigParseError
    from botocore.session import Session

    # Which profile counts is decided here, once: the SDK alone would read the variables again for a login that has no profile.
    session = Session(session_vars={"profile": (None, None, None, None)})
    try:
        chosen = choose(selectors, environ, session.full_config["profiles"])
        session.set_config_variable("profile", chosen.selectors.get("profile"))
        region = selectors.get("region", "") or environ.get("AWS_REGION", "") or session.get_config_variable("region") or ""
        # The region of all that the session asks, also for the credentials of roles: a client alone would keep it to itself.
        session.set_config_variable("region", region or None)
        login = chosen.selectors.get("login")
        use_login(session, Login(login) if login else None, say)
        trust.use_authorities(session, environ)
        _name_services(session)
    except ConfigParseError as error:
        raise UsageError(plain(error), "correct the file: each line is [section], key = value, or a comment") from error
    except BotoCoreError as error:
        raise UsageError(plain(error), "list the profiles: aws configure list-profiles") from error
    return Aws(session, region, say, chosen)


def _name_services(session: "Session") -> None:
    """Let names of folders say which services there are: botocore looks into each of 900 folders before it makes the first client."""
    loader: Any = session.get_component("data_loader")

    def names(_: str) -> list[str]:
        return sorted(name for path in loader.search_paths if Path(path).is_dir() for name in os.listdir(path))  # noqa: PTH208 - names alone

    loader.list_available_services = names


def checked_region(region: str) -> str:
    """The region, which becomes part of a host name; raises UsageError."""
    if not _REGION.fullmatch(region):
        raise UsageError(f"{region!r} is not a valid AWS region", "give a region such as eu-west-1")
    return region


def _assumed(own: Aws, selectors: Mapping[str, str], environ: Mapping[str, str]) -> Aws:
    _check_role(selectors["role_arn"], own)
    # The same profile: its endpoints, authorities and retries hold for the role too.
    role = _open(selectors, environ, own.say)
    with signing_in(own.session, own.chosen):
        use_role(role.session, own.credentials(), own.client, _role_arguments(selectors))
    return role


def _check_role(role: str, own: Aws) -> None:
    """Refuse what cannot be the ARN of a role there: each partition has accounts of its own; raises UsageError."""
    from botocore.exceptions import UnknownRegionError

    found = _ROLE.fullmatch(role)
    if not found:
        raise UsageError(f"{plain(role)!r} is not the ARN of a role", "aws iam get-role --role-name NAME --query Role.Arn --output text")
    try:
        partition = own.session.get_partition_for_region(own.region)
    except UnknownRegionError:
        # Newer than this SDK.
        return
    if found[1] != partition:
        hint = "give a role and a region of the same partition: --role-arn, --region"
        raise UsageError(f"{role} is a role of the partition {found[1]}, and the region {own.region} is in {partition}", hint)


def _role_arguments(selectors: Mapping[str, str]) -> dict[str, Any]:
    """Those of AssumeRole; raises UsageError."""
    tags = [pair.partition("=") for pair in selectors.get("session_tags", "").split(",") if pair]
    if bad := [key for key, equals, _ in tags if not key or not equals]:
        raise UsageError(f"{bad[0]!r} is not a session tag", "give key=value pairs with commas: --session-tags team=mesh,stage=prod")
    asked = {
        "RoleArn": selectors["role_arn"],
        "RoleSessionName": "meshinstall",
        "ExternalId": selectors.get("external_id", ""),
        "SourceIdentity": selectors.get("source_identity", ""),
        "Tags": [{"Key": key, "Value": value} for key, _, value in tags],
    }
    return {key: value for key, value in asked.items() if value}


def _config() -> Any:
    from botocore.config import Config

    return Config(connect_timeout=_CONNECT, read_timeout=_READ, retries={"mode": "standard", "total_max_attempts": _TRIES})


def _bounded(client: Any, say: Callable[[str], None]) -> Any:
    """The same client with bounded answers: botocore itself reads without limits of size and time."""
    # Not public, but the only door to the connection that botocore has set up.
    http = client._endpoint.http_session  # noqa: SLF001
    # Its own rules for NO_PROXY are Python's.
    http._proxy_config = _proxies()  # noqa: SLF001

    def send(request: Any, event_name: str, **_: Any) -> Any:
        _tell(request, event_name, say)
        _refuse_socks(request.url)
        request.stream_output = True
        response = http.send(request)
        response._content = _read(response.raw, event_name)  # noqa: SLF001 - where botocore keeps what it has read
        return response

    client.meta.events.register_last("before-send", send)
    return client


def _proxies() -> Any:
    from botocore.httpsession import ProxyConfiguration

    class Proxies(ProxyConfiguration):  # type: ignore[misc] # botocore ships no types
        def proxy_url_for(self, url: str) -> str | None:
            return find_proxy(url) or None

    return Proxies()


def _refuse_socks(url: str) -> None:
    proxy = find_proxy(url)
    if proxy.startswith("socks"):
        raise UsageError(
            f"the SDK of AWS cannot use the SOCKS proxy {split_proxy(proxy).url}",
            "set HTTPS_PROXY to an http proxy, and give the cluster's own proxy as proxy-url in a kubeconfig",
        )


def _tell(request: Any, event_name: str, say: Callable[[str], None]) -> None:
    header = request.headers.get("amz-sdk-request", b"")
    found = _ATTEMPT.search(header.decode() if isinstance(header, bytes) else header)
    if found and int(found[1]) > 1:
        say(f"AWS call {_operation(event_name)} failed; retry {found[1]} of {_TRIES}")


def _read(raw: Any, event_name: str) -> bytes:
    """All of an answer; raises ClusterError when it is too long or takes too long."""
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
    from urllib3.exceptions import HTTPError
    from urllib3.exceptions import ReadTimeoutError as SlowError

    try:
        return b"".join(read_pieces(raw.read1, _MAX_ANSWER, time.monotonic() + _WHOLE))
    except (TooLongError, TooSlowError) as error:
        raw.close()
        raise ClusterError(
            f"AWS's answer to {_operation(event_name)} has more than {_MAX_ANSWER // 1024**2} MiB or takes more than {_WHOLE} s"
        ) from error
    except SlowError as error:
        raise ReadTimeoutError(endpoint_url=_operation(event_name)) from error
    except HTTPError as error:
        raise ConnectionClosedError(endpoint_url=_operation(event_name)) from error


def _operation(event_name: str) -> str:
    """The operation for people: ``before-send.eks.DescribeCluster`` becomes eks DescribeCluster."""
    return " ".join(event_name.split(".")[1:])
