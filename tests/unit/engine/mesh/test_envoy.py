"""What Envoy's own configuration says, recorded from a proxy with a STRICT mesh, a PERMISSIVE port 8080 and a DISABLEd port 9090."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.mesh.envoy import EnvoyDump, read_dump
from meshinstall.errors import ClusterError
from meshinstall.model.mesh import InboundChain
from tests.unit.engine.hostile import mutated

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "envoy_dump.json").read_text())
TLS = "envoy.transport_sockets.tls"


def part(dump: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in dump["configs"] if one["@type"].endswith(f".{kind}"))
    return found


def listener(dump: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = part(dump, "ListenersConfigDump")["dynamic_listeners"][0]["active_state"]["listener"]
    return found


def secret(dump: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in part(dump, "SecretsConfigDump")["dynamic_active_secrets"] if one["name"] == name)
    return found


def inline(text: str) -> dict[str, str]:
    return {"inline_bytes": base64.b64encode(text.encode()).decode()}


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    dump = json.loads(json.dumps(RECORDED))
    change(dump)
    return json.dumps(dump).encode()


def chain(context: dict[str, Any], **match: Any) -> dict[str, Any]:
    """A chain that terminates TLS as ``context`` says."""
    typed = {"common_tls_context": context, "require_client_certificate": True}
    return {"filter_chain_match": match, "transport_socket": {"name": TLS, "typed_config": typed}}


def with_chain(one: dict[str, Any]) -> EnvoyDump:
    """The recorded dump with this chain alone."""
    return read_dump(changed(lambda dump: listener(dump).update(filter_chains=[one])))


def test_each_chain_says_what_it_matches_and_whether_it_asks_for_a_certificate() -> None:
    istio = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
    dump = read_dump(json.dumps(RECORDED).encode())
    assert [one.chain for one in dump.chains] == [
        InboundChain(15006),
        InboundChain(None, "tls", ("istio-http/1.0", "istio-http/1.1", "istio-h2"), tls=True, client_certificate=True),
        InboundChain(None, "tls", tls=True, client_certificate=True),
        InboundChain(9090, "raw_buffer", ("http/1.1", "h2c")),
        InboundChain(9090, "raw_buffer"),
        InboundChain(8080, "tls", istio, tls=True, client_certificate=True),
        InboundChain(8080, "raw_buffer"),
    ]
    assert {one.trusted for one in dump.chains} == {b"", dump.roots}
    assert dump.version == "1.31.0"
    assert dump.node == "holes-7f7999d85f-bsgjl.shop"
    assert dump.roots.count(b"BEGIN") == 1
    assert dump.certificates.count(b"BEGIN") == 2


def test_a_private_key_that_an_envoy_would_show_is_not_kept() -> None:
    planted = changed(lambda dump: secret(dump, "default")["secret"]["tls_certificate"].update(private_key=inline("PLANTED KEY")))
    assert "PLANTED" not in repr(read_dump(planted))


@pytest.mark.parametrize("identifier", ["", "web.shop", "sidecar~10.0.0.8~web.shop", "a~b~c~d~e"])
def test_a_node_that_no_agent_names_so_is_nobodys(identifier: str) -> None:
    planted = changed(lambda dump: part(dump, "BootstrapConfigDump")["bootstrap"]["node"].update(id=identifier))
    assert read_dump(planted).node == ""


def test_a_default_chain_takes_what_no_other_does() -> None:
    dump = read_dump(changed(lambda dump: listener(dump).update(default_filter_chain={"filters": []})))
    assert dump.chains[-1].chain == InboundChain(None)


def test_the_roots_of_a_chain_are_those_of_its_own_context() -> None:
    inside = with_chain(chain({"validation_context": {"trusted_ca": inline("its own root")}})).chains[0]
    assert inside.trusted == b"its own root"
    assert inside.unread == ()
    text = with_chain(chain({"validation_context": {"trusted_ca": {"inline_string": "as text"}}})).chains[0]
    assert text.trusted == b"as text"
    both = {"default_validation_context": {"trusted_ca": inline("one")}, "validation_context_sds_secret_config": {"name": "ROOTCA"}}
    assert with_chain(chain({"combined_validation_context": both})).chains[0].trusted.startswith(b"one\n-----BEGIN")


def test_spire_sends_its_roots_by_trust_domain() -> None:
    domains = [{"name": "one", "trust_bundle": inline("first")}, {"name": "two", "trust_bundle": inline("second")}]
    validator = {"custom_validator_config": {"name": "envoy.tls.cert_validator.spiffe", "typed_config": {"trust_domains": domains}}}
    assert with_chain(chain({"validation_context": validator})).chains[0].trusted == b"first\nsecond"


def test_a_chain_that_accepts_untrusted_certificates_has_no_roots() -> None:
    context = {"trusted_ca": inline("a root"), "trust_chain_verification": "ACCEPT_UNTRUSTED"}
    assert with_chain(chain({"validation_context": context})).chains[0].trusted == b""


def test_roots_that_the_dump_does_not_hold_are_named() -> None:
    other = with_chain(chain({"validation_context_sds_secret_config": {"name": "kubernetes://edge-cacert"}})).chains[0]
    assert other.trusted == b""
    assert other.unread == ("kubernetes://edge-cacert",)
    file = with_chain(chain({"validation_context": {"trusted_ca": {"filename": "/etc/root.pem"}}})).chains[0]
    assert file.trusted == b""
    assert file.unread == ("/etc/root.pem",)


def test_a_listener_that_is_not_active_says_nothing() -> None:
    def warm(dump: dict[str, Any]) -> None:
        one = part(dump, "ListenersConfigDump")["dynamic_listeners"][0]
        one["warming_state"] = one.pop("active_state")

    assert read_dump(changed(warm)).chains == ()
    assert read_dump(changed(lambda dump: part(dump, "ListenersConfigDump")["dynamic_listeners"][0].update(name="other"))).chains == ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>", "could not be parsed"),
        (b"[" * 200_000, "could not be parsed"),
        (b"[]", "dict expected, found list"),
        (b" " * (4 * 1024**2 + 1), "larger than 4 MiB"),
        (b"[" + b"[]," * 700_000 + b"[]]", "more than 250000 values"),
        (changed(lambda dump: secret(dump, "ROOTCA").update(name="other")), "still waits for its certificates"),
        (
            changed(lambda dump: listener(dump)["filter_chains"][1]["transport_socket"].update(name="envoy.alts")),
            "unknown transport socket envoy.alts",
        ),
        (changed(lambda dump: listener(dump)["filter_chains"][0].update(filter_chain_match=[])), "dict expected"),
        (
            changed(lambda dump: secret(dump, "default")["secret"]["tls_certificate"].update(certificate_chain={"inline_bytes": "%"})),
            "base64",
        ),
    ],
    ids=[
        "no JSON",
        "too deep",
        "a list",
        "too big",
        "too many values",
        "no root yet",
        "a new kind of socket",
        "a match of another type",
        "no base64",
    ],
)
def test_what_is_not_understood_is_an_error_with_words(data: bytes, words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        read_dump(data)


@given(st.data())
def test_whatever_an_envoy_says_is_read_or_refused(data: st.DataObject) -> None:
    dump = data.draw(mutated(RECORDED))
    try:
        found = read_dump(json.dumps(dump).encode())
    except ClusterError:
        return
    assert {type(one.chain.port) for one in found.chains} <= {int, type(None)}
    assert {type(one.chain.client_certificate) for one in found.chains} <= {bool}
