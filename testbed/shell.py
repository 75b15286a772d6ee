"""What a shell or a test needs to work with a cluster: variables and a configuration folder."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed import pins
from testbed.build.workshop import Workshop
from testbed.clouds.process.kind import folder_of
from testbed.clouds.process.kind import foreign as find_foreign
from testbed.clouds.process.kinds import kind_of
from testbed.cluster import Cluster

# Upstream Envoy lacks Istio's own filters; they belong to this layer and to no product's.
ISTIOD_VALUES = {
    "env": {"PILOT_ENABLE_ALPN_FILTER": "false", "PILOT_ENABLE_METADATA_EXCHANGE": "false"},
    "telemetry": {"enabled": False},
}
# Images are preloaded; the gateway's "auto" has no tag and would be pulled always.
GATEWAY_VALUES = {"imagePullPolicy": "IfNotPresent"}


def environment(cluster: Cluster, shop: Workshop, tools: tuple[str, ...]) -> dict[str, str]:
    """Variables for ``cluster``; ``tools`` are parts whose programs come first on PATH.

    Of a cluster with a cloud they are a login there, and KUBECONFIG names a file that is yet to be written.
    """
    path = ":".join([*(str(shop.part(part)) for part in tools), os.environ["PATH"]])
    charts = shop.part("charts")
    if cluster.spec.cloud is None:
        folder = write_configuration(cluster, charts)
        return {"KUBECONFIG": str(cluster.kubeconfig), "PATH": path, "MESHINSTALL_CONFIG": str(folder)}
    kind, files = kind_of(cluster.spec), folder_of(cluster.state)
    folder = write_configuration(cluster, charts, staging=kind.staging(cluster.spec.account))
    login = kind.login(cluster.spec, files, {**os.environ, "PATH": path})
    return {"KUBECONFIG": str(files / "kubeconfig"), "PATH": path, "MESHINSTALL_CONFIG": str(folder), **login}


def foreign(cluster: Cluster) -> list[str]:
    """Names of the caller's variables that lead to another cloud than the cluster's own."""
    return find_foreign(kind_of(cluster.spec), os.environ) if cluster.spec.cloud else []


def write_configuration(cluster: Cluster, charts: Path | str, **environments: Mapping[str, Any]) -> Path:
    """Write meshinstall.yaml, with these environments by name, and values for this cluster; return their folder.

    ``charts`` is the folder of the charts, or their registry's address.
    """
    folder = cluster.state / "meshinstall"
    values = folder / "values" / "components"
    values.mkdir(parents=True, exist_ok=True)
    settings = {
        "apiVersion": "meshinstall.dev/v1",
        "istio": {"version": pins.ISTIO},
        "charts": {"source": str(charts)},
        **({"environments": environments} if environments else {}),
    }
    (folder / "meshinstall.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    # JSON is YAML.
    for name, content in (("istiod", ISTIOD_VALUES), ("gateway", GATEWAY_VALUES)):
        (values / f"{name}.yaml").write_text(json.dumps(content, indent=2) + "\n")
    return folder
