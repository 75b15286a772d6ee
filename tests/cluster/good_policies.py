"""One object of each kind of Istio's that layers hold, as istiod takes it."""

_SPECS = {
    ("security.istio.io/v1", "AuthorizationPolicy"): "{}",
    ("security.istio.io/v1", "RequestAuthentication"): "{}",
    ("security.istio.io/v1", "PeerAuthentication"): "{mtls: {mode: STRICT}}",
    ("networking.istio.io/v1", "DestinationRule"): "{host: web}",
    ("networking.istio.io/v1alpha3", "EnvoyFilter"): "{}",
    ("networking.istio.io/v1", "Gateway"): "{servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}",
    ("networking.istio.io/v1", "ServiceEntry"): "{hosts: [a.example], ports: [{number: 80, name: http}], resolution: DNS}",
    ("networking.istio.io/v1", "Sidecar"): "{egress: [{hosts: ['./*']}]}",
    ("networking.istio.io/v1", "VirtualService"): "{hosts: [web], http: [{route: [{destination: {host: web}}]}]}",
    ("networking.istio.io/v1", "WorkloadEntry"): "{address: 10.0.0.1}",
    ("networking.istio.io/v1", "WorkloadGroup"): "{template: {serviceAccount: web}}",
    ("networking.istio.io/v1beta1", "ProxyConfig"): "{concurrency: 1}",
    ("telemetry.istio.io/v1", "Telemetry"): "{accessLogging: [{providers: [{name: envoy}]}]}",
}

KINDS = {kind for _, kind in _SPECS}


def text() -> str:
    """All of them, in the namespace shop."""
    return "---\n".join(
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: good, namespace: shop}}\nspec: {spec}\n"
        for (version, kind), spec in _SPECS.items()
    )
