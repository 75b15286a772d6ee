"""The objects that hold a mesh's CA are read once, for status and for verify."""

from base64 import b64encode
from typing import Any

import pytest

from meshinstall.engine.mesh.ca_objects import ca_of, roots_of


def secret(**data: str) -> dict[str, Any]:
    return {
        "data": {
            key.replace("_", "-") + (".crt" if key in {"tls", "ca"} else ".pem"): b64encode(pem.encode()).decode()
            for key, pem in data.items()
        }
    }


@pytest.mark.parametrize(
    ("given", "signer", "chain"),
    [
        (secret(ca_cert="own", cert_chain="above", root_cert="root"), b"own", b"own\nabove\nroot"),
        (secret(root_cert="root", tls="own", ca="root"), b"own", b"own\nroot\nroot"),
        (secret(root_cert="root"), b"", b"root"),
        (secret(), b"", b""),
        ({}, b"", b""),
    ],
    ids=["cacerts", "cert-manager", "a root alone", "no keys", "no Secret"],
)
def test_a_ca_signs_with_its_own_certificate_and_leads_to_the_others(given: dict[str, Any], signer: bytes, chain: bytes) -> None:
    found = ca_of(given)
    assert found.signer == signer
    assert found.chain == chain


@pytest.mark.parametrize("data", ["text", {"tls.crt": 1}, {"tls.crt": "not base64!"}])
def test_what_is_not_a_secret_of_a_ca_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"expected|base64|Non-base64"):
        ca_of({"data": data})


def test_roots_are_those_of_the_config_map() -> None:
    assert roots_of({"data": {"root-cert.pem": "pem"}}) == b"pem"
    assert roots_of({"data": {}}) == b""
    with pytest.raises(ValueError, match="str expected"):
        roots_of({"data": {"root-cert.pem": ["pem"]}})
