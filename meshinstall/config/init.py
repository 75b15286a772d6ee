"""The example that ``meshinstall init`` writes."""

from meshinstall import catalog

_EXAMPLE = f"""\
# What meshinstall installs, and where. Keep this file in Git; do not put secrets in it.
# profiles/ and values/ beside it add to the built-in ones: a file of the same name is merged on top.
apiVersion: meshinstall.dev/v1

istio:
  # A minor is the newest of it in meshinstall.lock; without that file, what runs stays. {catalog.EXAMPLE_ISTIO} is that version alone.
  version: "{catalog.DEFAULT_ISTIO}"

# Charts: an OCI registry, a Helm repository (https://...), or a folder (relative to this file).
charts:
  source: {catalog.DEFAULT_CHARTS}

# Images of every component; the default is the charts' own images. For a private registry:
# images:
#   hub: registry.example.com/istio
#   tag: {catalog.EXAMPLE_ISTIO}
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
        # For this cluster only.
        values:
          istiod:
            autoscaleMax: 8
    # More gateways, by name; a higher order installs later, null removes a gateway of the profile.
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
    # STRICT by default: workloads refuse plaintext. To accept it while workloads move into the mesh:
    # mtls: PERMISSIVE
    # accept: {{until: 2027-01-31, reason: "which clients, and who moves them"}}
"""


def example() -> str:
    """Text of a commented meshinstall.yaml that loads as it is."""
    return _EXAMPLE
