"""Reads a kubeconfig the way kubectl does, with clear errors."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from meshinstall.adapters.kube import in_cluster
from meshinstall.adapters.kube.kubeconfig_fields import Entry, Fields
from meshinstall.adapters.kube.kubeconfig_files import Merged, read
from meshinstall.adapters.net.addresses import is_loopback
from meshinstall.adapters.net.proxies import checked_proxy
from meshinstall.errors import ClusterError, UsageError

# client-go: tools/clientcmd/client_config.go, where a plugin's own settings stand.
_EXTENSION = "client.authentication.k8s.io/exec"
_MODES = ("Never", "IfAvailable", "Always")
_V1BETA1 = "client.authentication.k8s.io/v1beta1"


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A credential plugin (client.authentication.k8s.io) as the kubeconfig states it.

    ``command`` is a name on PATH or an absolute path, ``interactive`` the interactiveMode;
    ``cluster`` is what a plugin with provideClusterInfo is told, else None.
    """

    api_version: str
    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    install_hint: str = ""
    interactive: str = "IfAvailable"
    cluster: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Whom the API server is to take the caller for: ``as`` and what may come with it."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One context of a kubeconfig, resolved; certificates and keys are PEM bytes.

    ``pair_files`` are those of certificate and key, when both are files: they may be renewed.
    ``piped`` is the whole text of a kubeconfig that can be read once only; ``pod`` stands for one where there is no file.
    """

    source: str
    context: str
    server: str
    authority: bytes | None
    server_name: str = ""
    proxy: str = ""
    namespace: str = ""
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    pair_files: tuple[Path, Path] | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    plugin: ExecPlugin | None = None
    impersonate: Impersonation | None = None
    piped: bytes | None = field(default=None, repr=False)
    pod: in_cluster.Pod | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether requests to an https server carry nothing that says who sends them."""
        known = self.token or self.token_file or self.plugin or (self.certificate and self.key)
        return not known and self.server.startswith("https:")


def load(
    path: Path | None = None,
    context: str = "",
    environ: Mapping[str, str] = os.environ,
    account: Path = in_cluster.SERVICE_ACCOUNT,
) -> Kubeconfig:
    """Read ``path``, else the files of KUBECONFIG, else ~/.kube/config, and pick ``context`` or the current one.

    Where they hold nothing, a pod's own ``account`` counts, as for kubectl. Raises UsageError when there is no such file or context,
    ClusterError when what it names cannot be used.
    """
    merged = read(path, environ)
    if merged.is_empty and not context and (pod := in_cluster.find(environ, account)):
        return _of_pod(pod)
    if not merged.files:
        raise UsageError(f"no kubeconfig at {merged.source}", "name one with --kubeconfig or KUBECONFIG, or pick a cloud with --cloud")
    wanted = context or next(iter(merged.current), "")
    if wanted not in merged.contexts:
        there = ", ".join(merged.contexts) or "none"
        said = f"no context {wanted!r}" if wanted else "no current context"
        raise UsageError(f"{said} in the kubeconfig {merged.source} (it has: {there})", "name one of them with --context")
    found = _resolve(merged, wanted)
    _refuse_plain(found)
    return found


def _of_pod(pod: in_cluster.Pod) -> Kubeconfig:
    return Kubeconfig(
        source=f"of this pod ({pod.token_file})",
        context=in_cluster.CONTEXT,
        server=pod.server,
        authority=pod.authority,
        namespace=pod.namespace,
        token_file=pod.token_file,
        pod=pod,
    )


def _resolve(merged: Merged, wanted: str) -> Kubeconfig:
    chosen = Fields(merged.contexts[wanted], f"context {wanted!r}", merged.source)
    cluster = _named(merged.clusters, chosen, "cluster")
    user = _named(merged.users, chosen, "user")
    if cluster.flag("insecure-skip-tls-verify"):
        raise UsageError(
            f"context {wanted!r} in the kubeconfig {merged.source} turns off the check of the API server's certificate",
            "give it the cluster's certificate-authority-data instead of insecure-skip-tls-verify",
        )
    _refuse_unsupported(user)
    authority = cluster.pem("certificate-authority")
    certificate, key = _pair(user)
    proxy = cluster.text("proxy-url")
    return Kubeconfig(
        source=merged.source,
        context=wanted,
        server=_server(cluster),
        authority=authority,
        server_name=cluster.text("tls-server-name"),
        proxy=checked_proxy(proxy, f"proxy-url of {cluster.what} in the kubeconfig {merged.source}") if proxy else "",
        namespace=chosen.text("namespace"),
        certificate=certificate,
        key=key,
        pair_files=_pair_files(user),
        token=user.text("token"),
        token_file=user.path("tokenFile"),
        plugin=_plugin(user, cluster, authority),
        impersonate=_impersonation(user),
        piped=merged.piped,
    )


def _named(entries: Mapping[str, Entry], chosen: Fields, kind: str) -> Fields:
    name = chosen.text(kind)
    if name not in entries:
        said = f"names {kind} {name!r}, which is not there" if name else f"names no {kind}"
        raise UsageError(f"{chosen.what} in the kubeconfig {chosen.source} {said}", "kubectl config view shows what the kubeconfig holds")
    return Fields(entries[name], f"{kind} {name!r}", chosen.source)


def _server(cluster: Fields) -> str:
    """The server's URL without query and a slash at its end; kubectl takes one without a scheme for http, and sends no credentials."""
    given = cluster.text("server")
    if not given:
        raise cluster.wrong("server", "is missing")
    try:
        parts = urlsplit(given)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or brackets that do not match
        is_good = False
    if not (is_good and given.isprintable() and " " not in given):
        raise cluster.wrong("server", "is not the URL of an API server, such as https://10.0.0.1:6443")
    if "@" in parts.netloc:
        raise cluster.wrong("server", "holds a login, and a password for the API server (basic auth) is not supported")
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")).rstrip("/")


def _pair(user: Fields) -> tuple[bytes | None, bytes | None]:
    """Client certificate and key; a half of them would leave the caller anonymous."""
    certificate, key = user.pem("client-certificate"), user.pem("client-key")
    if bool(certificate) != bool(key):
        there, missing = ("client-certificate", "client-key") if certificate else ("client-key", "client-certificate")
        raise ClusterError(f"{user.what} in the kubeconfig {user.source} has a {there} but not a {missing}", "fetch the kubeconfig again")
    if key and b"ENCRYPTED" in key:
        raise ClusterError(
            f"client-key of {user.what} in the kubeconfig {user.source} has a passphrase, which is not supported",
            "store the key without it, readable by you alone: openssl pkey -in KEY -out KEY.plain",
        )
    return certificate, key


def _pair_files(user: Fields) -> tuple[Path, Path] | None:
    certificate, key = user.file("client-certificate"), user.file("client-key")
    return (certificate, key) if certificate and key else None


def _impersonation(user: Fields) -> Impersonation | None:
    found = Impersonation(user.header("as"), user.header("as-uid"), user.headers("as-groups"), user.header_map("as-user-extra"))
    if not found.user and (found.uid or found.groups or found.extra):
        raise user.wrong("as", "is missing, and as-uid, as-groups and as-user-extra need it")
    return found if found.user else None


def _refuse_unsupported(user: Fields) -> None:
    for key, what in (("username", "a password (basic auth)"), ("password", "a password (basic auth)"), ("auth-provider", "auth-provider")):
        if user.has(key):
            raise ClusterError(
                f"{user.what} in the kubeconfig {user.source} signs in with {what}, which is not supported",
                "use a token, a client certificate or an exec plugin",
            )


def _plugin(user: Fields, cluster: Fields, authority: bytes | None) -> ExecPlugin | None:
    node = user.inner("exec")
    if node is None:
        return None
    version, command = node.text("apiVersion"), node.text("command")
    if not command or not version:
        raise node.wrong("command" if version else "apiVersion", "is missing")
    mode = node.text("interactiveMode") or ("IfAvailable" if version == _V1BETA1 else "")
    if mode not in _MODES:
        raise node.wrong("interactiveMode", f"must be one of {', '.join(_MODES)}")
    return ExecPlugin(
        api_version=version,
        # A path counts from the kubeconfig's folder; a name is looked for on PATH.
        command=str(node.path("command")) if os.sep in command else command,
        args=node.texts("args"),
        env=node.pairs("env"),
        install_hint=node.text("installHint"),
        interactive=mode,
        cluster=_told(cluster, authority) if node.flag("provideClusterInfo") else None,
    )


def _told(cluster: Fields, authority: bytes | None) -> dict[str, Any]:
    """What a plugin is told of the cluster (client-go: pkg/apis/clientauthentication, Cluster)."""
    import base64

    told = {
        "server": cluster.text("server"),
        "tls-server-name": cluster.text("tls-server-name"),
        "certificate-authority-data": base64.b64encode(authority or b"").decode(),
        "proxy-url": cluster.text("proxy-url"),
        "disable-compression": cluster.flag("disable-compression"),
    }
    return {key: value for key, value in told.items() if value} | {"config": cluster.extension(_EXTENSION)}


def _refuse_plain(config: Kubeconfig) -> None:
    if config.token or config.token_file or config.plugin or config.certificate:
        refuse_plain(config)


def refuse_plain(config: Kubeconfig) -> None:
    """Raise ClusterError where a credential would travel readable for others: over http, but to this machine."""
    parts = urlsplit(config.server)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ClusterError(
            f"context {config.context!r} in the kubeconfig {config.source} would send credentials to {config.server} without encryption",
            "give the API server's https address",
        )
