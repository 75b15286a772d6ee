"""With one kubeconfig the server sees the same from the real kubectl and from us, or docs/ways-to-a-cluster.md says what differs."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization

from tests.contracts.ways import REFUSED, Recorder, Way, by_kubectl, by_us, recorder, word

pytestmark = pytest.mark.tools

DOCS = Path(__file__).resolve().parents[2] / "docs" / "ways-to-a-cluster.md"
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
TOKEN = "hunter2"  # noqa: S105 - opens nothing


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test runs: its folder, the server over TLS and the one without, and what both trust."""

    folder: Path
    server: Recorder
    plain: Recorder
    other: Recorder
    authority: trustme.CA

    def file(self, name: str, content: str | bytes, mode: int = 0o600) -> str:
        """Write a file and give its name."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return name

    def pair(self, name: str = "ann") -> tuple[bytes, bytes]:
        """A client certificate and its key."""
        leaf = self.authority.issue_cert(f"{name}@example.org", common_name=name)
        return leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()

    def plugin(self, answer: object, name: str = "login", before: str = "") -> str:
        """A credential plugin that prints ``answer``, and its relative path."""
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return "./" + self.file(name, f"#!/bin/sh\n{before}\ncat <<'END'\n{text}\nEND\n", 0o700)

    def config(self, user: object, cluster: Mapping[str, Any] | None = None, context: Mapping[str, Any] | None = None) -> Way:
        """A kubeconfig with one context."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "dev",
            "clusters": [{"name": "dev", "cluster": {**self.trust(), **(cluster or {})}}],
            "users": [{"name": "dev", "user": user}],
            "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": "dev", **(context or {})}}],
        }
        return Way(self.folder / self.file("config", yaml.safe_dump(content)))

    def trust(self) -> dict[str, str]:
        """The server and who signed its certificate."""
        return {"server": self.server.url, "certificate-authority-data": data(self.authority.cert_pem.bytes())}


def data(content: bytes) -> str:
    return base64.b64encode(content).decode()


@contextmanager
def a_place(folder: Path) -> Iterator[Place]:
    """Run the servers of a place."""
    authority = trustme.CA()
    with recorder(authority) as server, recorder(None) as plain, recorder(authority) as other:
        yield Place(folder, server, plain, other, authority)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as found:
        yield found


def given(**status: object) -> dict[str, object]:
    return {"apiVersion": V1, "kind": "ExecCredential", "status": status}


def runs(command: str, **more: object) -> dict[str, object]:
    return {"exec": {"apiVersion": V1, "command": command, "interactiveMode": "Never", **more}}


def pair(place: Place) -> dict[str, str]:
    certificate, key = place.pair()
    return {"client-certificate-data": data(certificate), "client-key-data": data(key)}


def as_files(place: Place) -> Way:
    certificate, key = place.pair()
    return place.config({"client-certificate": place.file("pki/cert.pem", certificate), "client-key": place.file("pki/key.pem", key)})


def with_passphrase(place: Place) -> Way:
    certificate, key = place.pair()
    hidden = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hunter2")
    )
    return place.config({"client-certificate-data": data(certificate), "client-key-data": data(hidden)})


def answers_with_pair(place: Place, **more: object) -> Way:
    certificate, key = place.pair()
    return place.config(runs(place.plugin(given(clientCertificateData=certificate.decode(), clientKeyData=key.decode(), **more))))


def in_lines(place: Place) -> Way:
    certificate, key = (re.sub(r"(.{64})", r"\1\n", data(one)) + "\n" for one in place.pair())
    return place.config({"client-certificate-data": certificate, "client-key-data": key})


def without_padding(place: Place) -> Way:
    certificate, key = place.pair()
    key += b"\n" * (1 + -len(key) % 3)
    return place.config({"client-certificate-data": data(certificate), "client-key-data": data(key).rstrip("=")})


def several(place: Place) -> Way:
    place.config({"token": "t2"})
    (place.folder / "config").rename(place.folder / "two")
    place.file("one", yaml.safe_dump({"users": [{"name": "dev", "user": {"token": TOKEN}}]}))
    return Way(None, {"KUBECONFIG": f"{place.folder}/one:{place.folder}/missing:{place.folder}/two"})


def colon(place: Place) -> Way:
    way = place.config({"token": TOKEN})
    assert way.file
    return Way(way.file.rename(place.folder / "a:b"))


def colon_of_two(place: Place) -> Way:
    way = place.config({"token": TOKEN})
    return Way(Path(f"{way.file}:{way.file}"))


def beyond(place: Place) -> Way:
    """The recorder is the proxy, so nothing leaves this machine."""
    way = place.config({"token": TOKEN}, {"server": "http://api.example.org"})
    return Way(way.file, {"HTTP_PROXY": place.plain.url})


def led_away(place: Place) -> Way:
    place.server.elsewhere = place.other.url.replace("127.0.0.1", "localhost")
    return place.config({"token": TOKEN})


def twice(place: Place, key: str) -> Way:
    way = place.config({"token": TOKEN})
    assert way.file
    content = yaml.safe_load(way.file.read_text())
    way.file.write_text(yaml.safe_dump(content | {key: content[key] * 2}))
    return way


def pair_in_files(place: Place) -> dict[str, str]:
    certificate, key = place.pair()
    return {"client-certificate": place.file("ann.crt", certificate), "client-key": place.file("ann.key", key)}


def unfit(place: Place) -> Way:
    (certificate, _), (_, key) = place.pair("ann"), place.pair("bob")
    return place.config({"client-certificate-data": data(certificate), "client-key-data": data(key)})


def dated(place: Place) -> Way:
    return place.config(runs(place.plugin(given(token=TOKEN, expirationTimestamp="2020-01-01T00:00:00Z"))))


EXTRA = {"as-user-extra": {"reason": ["a", "b"], "Example.org/Why %": ["c"]}}
CASES: Mapping[str, Callable[[Place], Way]] = {
    "token": lambda place: place.config({"token": TOKEN}),
    "token with a line break": lambda place: place.config({"token": f"{TOKEN}\nX-Evil: 1"}),
    "token that is not text": lambda place: place.config({"token": 12345}),
    "tokenFile, relative": lambda place: place.config({"tokenFile": place.file("secrets/token", f" {TOKEN}\n")}),
    "tokenFile besides token": lambda place: place.config({"token": "old", "tokenFile": place.file("token", TOKEN)}),
    "tokenFile that is empty": lambda place: place.config({"tokenFile": place.file("token", "\n")}),
    "tokenFile that is missing": lambda place: place.config({"tokenFile": "gone"}),
    "tokenFile that is a folder": lambda place: place.config({"tokenFile": "."}),
    "tokenFile that is a folder, besides token": lambda place: place.config({"tokenFile": ".", "token": TOKEN}),
    "client certificate and key, as data": lambda place: place.config(pair(place)),
    "client certificate and key, as relative files": as_files,
    "client certificate and key besides token": lambda place: place.config({**pair(place), "token": TOKEN}),
    "client certificate without key": lambda place: place.config({"client-certificate-data": pair(place)["client-certificate-data"]}),
    "client key without certificate": lambda place: place.config({"client-key-data": pair(place)["client-key-data"]}),
    "client key with a passphrase": with_passphrase,
    "client certificate and key that do not fit": unfit,
    "client certificate that is a folder": lambda place: place.config({"client-certificate": ".", "client-key": "."}),
    "client certificate and key, as data and as files": lambda place: place.config({**pair(place), **pair_in_files(place)}),
    "base64 with line breaks": in_lines,
    "base64 without padding": without_padding,
    "base64 with a character of another alphabet": lambda place: place.config({**pair(place), "client-key-data": "LS0t_S0t"}),
    "exec plugin, relative command": lambda place: place.config(runs(place.plugin(given(token=TOKEN)))),
    "exec plugin that answers in YAML": lambda place: place.config(runs(place.plugin(yaml.safe_dump(given(token=TOKEN))))),
    "exec plugin that answers with a certificate": answers_with_pair,
    "exec plugin that answers with both": lambda place: answers_with_pair(place, token=TOKEN),
    "exec plugin that answers with a certificate without key": lambda place: place.config(
        runs(place.plugin(given(clientCertificateData=place.pair()[0].decode())))
    ),
    "exec plugin that answers with another apiVersion": lambda place: place.config(
        runs(place.plugin(given(token=TOKEN) | {"apiVersion": V1BETA1}))
    ),
    "exec plugin whose answer has expired": dated,
    "exec plugin besides token": lambda place: place.config({**runs("./gone"), "token": TOKEN}),
    "exec plugin besides client certificate": lambda place: place.config({**runs("./gone"), **pair(place)}),
    "exec plugin with args and env": lambda place: place.config(
        runs(
            place.plugin(given(token=TOKEN), before='[ "$1-$2-$WHO" = "a b--ann" ] || exit 3'),
            args=["a b", ""],
            env=[{"name": "WHO", "value": "bob"}, {"name": "WHO", "value": "ann"}],
        )
    ),
    "exec plugin with args and env of null": lambda place: place.config(runs(place.plugin(given(token=TOKEN)), args=None, env=None)),
    "exec plugin whose token is empty": lambda place: place.config(runs(place.plugin(given(token="")))),
    "exec plugin that is not installed": lambda place: place.config(runs("meshinstall-no-such-plugin")),
    "exec plugin that fails": lambda place: place.config(runs(place.plugin("", before="exit 3"))),
    "exec plugin of v1beta1, without interactiveMode": lambda place: place.config(
        runs(place.plugin(given(token=TOKEN) | {"apiVersion": V1BETA1}), apiVersion=V1BETA1, interactiveMode="")
    ),
    "exec plugin of v1alpha1": lambda place: place.config(
        runs(place.plugin(given(token=TOKEN)), apiVersion="client.authentication.k8s.io/v1alpha1")
    ),
    "exec plugin without interactiveMode": lambda place: place.config(runs(place.plugin(given(token=TOKEN)), interactiveMode="")),
    "exec plugin with interactiveMode Always, without a terminal": lambda place: place.config(
        runs(place.plugin(given(token=TOKEN)), interactiveMode="Always")
    ),
    "as": lambda place: place.config({"token": TOKEN, "as": "bob"}),
    "as, as-uid, as-groups, as-user-extra": lambda place: place.config(
        {"token": TOKEN, "as": "jürgen", "as-uid": "7", "as-groups": ["system:a", "b, c"], **EXTRA}
    ),
    "as with a client certificate": lambda place: place.config({**pair(place), "as": "bob", "as-groups": ["a"]}),
    "as-groups without as": lambda place: place.config({"token": TOKEN, "as-groups": ["a"]}),
    "as with a line break": lambda place: place.config({"token": TOKEN, "as": "bob\nImpersonate-Group: system:masters"}),
    "username and password": lambda place: place.config({"username": "ann", "password": TOKEN}),
    "auth-provider": lambda place: place.config({"auth-provider": {"name": "gcp"}}),
    "user that is not there": lambda place: place.config({"token": TOKEN}, context={"user": "gone"}),
    "context without a user": lambda place: place.config({"token": TOKEN}, context={"user": ""}),
    "user without anything": lambda place: place.config({}),
    "two users of one name": lambda place: twice(place, "users"),
    "certificate-authority besides certificate-authority-data": lambda place: place.config(
        {"token": TOKEN}, {"certificate-authority": place.file("ca.pem", place.authority.cert_pem.bytes())}
    ),
    "server without a scheme": lambda place: place.config({"token": TOKEN}, {"server": place.plain.url.removeprefix("http://")}),
    "server with a path": lambda place: place.config({"token": TOKEN}, {"server": f"{place.server.url}/k8s/clusters/c-1/"}),
    "server with a login": lambda place: place.config({}, {"server": place.server.url.replace("//", "//ann:hunter2@")}),
    "tls-server-name": lambda place: place.config({"token": TOKEN}, {"tls-server-name": "api.example.org"}),
    "tls-server-name of another": lambda place: place.config({"token": TOKEN}, {"tls-server-name": "other.example.org"}),
    "insecure-skip-tls-verify": lambda place: place.config(
        {"token": TOKEN}, {"insecure-skip-tls-verify": True, "certificate-authority-data": ""}
    ),
    "insecure-skip-tls-verify besides certificate-authority-data": lambda place: place.config(
        {"token": TOKEN}, {"insecure-skip-tls-verify": True}
    ),
    "disable-compression": lambda place: place.config({"token": TOKEN}, {"disable-compression": True}),
    "tls-server-name that is an address": lambda place: place.config({"token": TOKEN}, {"tls-server-name": "127.0.0.2"}),
    "certificate-authority that is no certificate": lambda place: place.config(
        {"token": TOKEN}, {"certificate-authority-data": data(b"no certificate")}
    ),
    "token over http to this machine": lambda place: place.config({"token": TOKEN}, {"server": place.plain.url}),
    "token over http to another host": beyond,
    "redirect to another host": led_away,
    "KUBECONFIG of several files": several,
    "--kubeconfig with a colon in its name": colon,
    "--kubeconfig FILE:FILE": colon_of_two,
}  # fmt: skip


def table() -> dict[str, tuple[str, str]]:
    """Rows of the docs: feature, what kubectl sends, what we send."""
    rows = (line.strip()[1:-1].split("|") for line in DOCS.read_text().splitlines() if line.startswith("| "))
    cells = ([cell.strip() for cell in row] for row in rows)
    return {row[0]: (row[1], row[2]) for row in cells if len(row) == 4 and row[0] not in {"Feature", "---"}}


def both(kubectl: Path, place: Place, make: Callable[[Place], Way]) -> tuple[Any, Any]:
    servers = [place.server, place.plain, place.other]
    way = make(place)
    return by_kubectl(kubectl, way, servers), by_us(way, servers)


@pytest.mark.parametrize("name", CASES)
def test_the_server_sees_the_same_or_the_docs_say_what_differs(kubectl: Path, place: Place, name: str) -> None:
    theirs, ours = both(kubectl, place, CASES[name])
    assert (word(theirs), word(ours)) == table()[name]
    if word(theirs) == word(ours):
        assert theirs == ours


def test_the_docs_list_what_is_tried() -> None:
    assert list(table()) == list(CASES)
    assert {here for _, here in table().values()} >= {REFUSED, "token", "certificate"}
