"""A server with certificates of another mesh."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshinstall.engine.probe import probe_objects


class Foreign:
    """A mesh of another root: a certificate that claims one of our names, and a pod whose Envoy shows it."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "another mesh")])
        uri = x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/default")
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def objects(self, name: str, *, trusts_anyone: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """A pod in legacy that serves TLS on port 9443 and demands a client certificate: of its own root, or any."""
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        trust = {"trust_chain_verification": "ACCEPT_UNTRUSTED"} if trusts_anyone else {"trusted_ca": {"inline_string": pem}}
        common = {
            "tls_certificates": [{"certificate_chain": {"inline_string": pem}, "private_key": {"inline_string": private}}],
            "validation_context": trust,
            "alpn_protocols": ["h2"],
        }
        types = "type.googleapis.com/envoy.extensions"
        tls = {"@type": f"{types}.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": common}
        echo = {"name": "envoy.filters.network.echo", "typed_config": {"@type": f"{types}.filters.network.echo.v3.Echo"}}
        chain = {
            "filters": [echo],
            "transport_socket": {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {**tls, "require_client_certificate": True},
            },
        }
        listener = {"name": name, "address": {"socket_address": {"address": "0.0.0.0", "port_value": 9443}}, "filter_chains": [chain]}  # noqa: S104 - in a pod
        patch = {
            "applyTo": "LISTENER",
            "match": {"context": "SIDECAR_OUTBOUND"},
            "patch": {"operation": "ADD", "value": listener},
        }
        metadata = {"name": name, "namespace": "foreign", "labels": {"app": name}}
        spec = {"workloadSelector": {"labels": {"app": name}}, "configPatches": [patch]}
        pod = probe_objects.pod(probe_objects.CLIENT)
        pod["spec"]["serviceAccountName"] = "default"
        pod["metadata"] = {**metadata, "annotations": pod["metadata"]["annotations"]}
        return {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": metadata, "spec": spec}, pod
