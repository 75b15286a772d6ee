"""Reads X.509 certificates in PEM."""

from meshinstall.errors import ClusterError
from meshinstall.model.status import CertificateTimes


def read_certificates(pem: bytes) -> tuple[CertificateTimes, ...]:
    """Subject and dates of each certificate in ``pem``, in its order; raises ClusterError when it is not PEM."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ClusterError(f"not a certificate in PEM: {error}") from error
    return tuple(CertificateTimes(one.subject.rfc4514_string(), one.not_valid_before_utc, one.not_valid_after_utc) for one in found)
