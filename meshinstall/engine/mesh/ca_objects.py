"""Reads the objects that hold the certificates of a mesh's CA; of a Secret nothing but certificates is looked at."""

import base64
from dataclasses import dataclass

from meshinstall.engine.objects.json_fields import at, text
from meshinstall.model.release import Manifest

# The CA's own certificate in its Secret, the user's key first; then what it leads to (istio: pilot/pkg/bootstrap/istio_ca.go).
_SIGNERS = ("ca-cert.pem", "tls.crt")
_ABOVE = ("cert-chain.pem", "root-cert.pem", "ca.crt")


@dataclass(frozen=True, slots=True)
class CaCertificates:
    """Certificates of a CA in PEM: the one that it signs with, empty when there is none, and ``chain``, all there are, that one first."""

    signer: bytes
    chain: bytes


def ca_of(secret: Manifest) -> CaCertificates:
    """The certificates in a Secret of a CA; raises ValueError for what is not one."""
    signers = [_decoded(secret, key) for key in _SIGNERS]
    above = [_decoded(secret, key) for key in _ABOVE]
    return CaCertificates(next(filter(None, signers), b""), b"\n".join(filter(None, (*signers, *above))))


def roots_of(config_map: Manifest) -> bytes:
    """The roots in PEM that istiod hands to a namespace; raises MalformedError for what is not such a ConfigMap."""
    return text(at(config_map, "data", "root-cert.pem")).encode()


def _decoded(secret: Manifest, key: str) -> bytes:
    return base64.b64decode(text(at(secret, "data", key)), validate=True)
