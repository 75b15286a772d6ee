"""What an Envoy starts with: who it is, and the socket files behind which istiod and its agent are."""

from pathlib import Path

from testbed.api import Json

ADMIN = "admin.sock"


def bootstrap(node: Json, agent: Path) -> Json:
    """Envoy's bootstrap; ``agent`` is the folder with the agent's sockets. The admin socket is in Envoy's working folder."""
    return {
        "node": node,
        "admin": {"address": {"pipe": {"path": ADMIN}}},
        # Runtime flags that every proxy of Istio starts with (istio: pkg/bootstrap/config.go, extractRuntimeFlags); one of them is how
        # long a pattern may be that the admin interface is asked for.
        "layered_runtime": {"layers": [{"name": "global config", "static_layer": RUNTIME}, {"name": "admin", "admin_layer": {}}]},
        # What istiod sends has internal listeners in some meshes.
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
                },
            }
        ],
        "dynamic_resources": {
            "lds_config": _ADS,
            "cds_config": _ADS,
            "ads_config": {
                # One answer holds everything, so that what a proxy has is one version of the mesh.
                "api_type": "GRPC",
                "set_node_on_first_message_only": True,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {
            "clusters": [_behind("xds-grpc", agent / "xds.sock"), _behind("sds-grpc", agent / "secrets.sock")],
        },
    }


RUNTIME = {
    "re2.max_program_size.error_level": "32768",
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
    "envoy.reloadable_features.fixed_heap_use_allocated": True,
    "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": False,
}
_ADS = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}


def _behind(name: str, socket: Path) -> Json:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            options: {"@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]}],
        },
    }
