"""The example that ``meshinstall init`` writes."""

from meshinstall import catalog

_EXAMPLE = f"""\
# What meshinstall installs, and where. Keep this file in Git; no secret belongs in it.
# profiles/ and values/ beside it add to the built-in ones: a file of the same name goes on top.
apiVersion: meshinstall.dev/v1

istio:
  version: {catalog.DEFAULT_ISTIO}

# Charts: an OCI registry, a Helm repository (https://...), or a folder (relative to this file).
charts:
  source: {catalog.DEFAULT_CHARTS}

# Images of every component; without this the charts' own are used. For a private registry:
# images:
#   hub: registry.example.com/istio
#   tag: {catalog.DEFAULT_ISTIO}
#   variant: distroless            # or debug
#   pullPolicy: IfNotPresent
#   pullSecrets: [registry-login]  # names of Secrets that exist in each namespace of the mesh

# minimal (control plane), default (and an ingress gateway), production (highly available), ambient.
profile: default

environments:
  # meshinstall up --env dev
  dev:
    cloud: local
    cluster: {{}}                    # the current context of your kubeconfig; or context: kind-dev

  # meshinstall up --env staging
  staging:
    cloud: eks
    profile: production
    cluster:
      name: mesh-staging
      region: eu-west-1

  # One environment on several clouds: meshinstall up --env prod --cloud gke
  prod:
    profile: production
    clouds:
      gke:
        cluster: {{name: mesh-prod, project: example-prod, location: europe-west1}}
      aks:
        cluster: {{name: mesh-prod, resourceGroup: mesh, subscription: example}}
        # For this cluster alone.
        values:
          istiod:
            autoscaleMax: 8
    # More gateways, by name; a higher order installs later, null removes one of the profile's.
    gateways:
      istio-egress:
        namespace: istio-egress
        order: 1
        values:
          service:
            type: ClusterIP
    # For this environment on every cloud, by component or gateway.
    values:
      istiod:
        meshConfig:
          trustDomain: prod.example.com
    # Plaintext is refused everywhere. To let it in while workloads move into the mesh, say so here:
    # mtls: PERMISSIVE
"""


def example() -> str:
    """Text of a commented meshinstall.yaml that loads as it is."""
    return _EXAMPLE
