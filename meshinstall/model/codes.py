"""All codes that a finding can have: what each checks, how severe it is, where it is explained, and the name by which it is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from meshinstall.model.finding import Severity
from meshinstall.model.istio import WEBHOOK_PORT

# The page that has a section for every code.
PAGE = "docs/checks.md"


class Phase(StrEnum):
    """When a code is reported; each phase has its own table in the page."""

    PLAN = "plan"
    CHECK = "check"
    VERIFY = "verify"
    POLICY = "policy"
    EKS = "eks"
    AKS = "aks"
    GKE = "gke"


@dataclass(frozen=True, slots=True)
class Check:
    """One code. ``title`` is what is wrong, or for ``check`` what must hold; ``allow`` is the name that --allow takes, if it takes one."""

    code: str
    phase: Phase
    severities: tuple[Severity, ...]
    title: str
    allow: str = ""


_ERROR, _WARNING, _INFO = (Severity.ERROR,), (Severity.WARNING,), (Severity.INFO,)
_EITHER = (Severity.ERROR, Severity.WARNING)
_ANY = (Severity.ERROR, Severity.WARNING, Severity.INFO)

_PLAN = (
    Check("PRE001", Phase.PLAN, _ERROR, "Kubernetes is outside Istio's supported range", "kubernetes"),
    Check("PRE002", Phase.PLAN, _INFO, "it is not known whether Istio supports this Kubernetes"),
    Check("PRE003", Phase.PLAN, _ERROR, "a namespace is being deleted"),
    Check("PRE004", Phase.PLAN, _ERROR, "the cluster has another control plane", "foreign"),
    Check("PRE005", Phase.PLAN, _ERROR, "Istio's CRDs belong to another owner"),
    Check("PRE006", Phase.PLAN, _ERROR, "Istio would be downgraded", "downgrade"),
    Check("PRE007", Phase.PLAN, _ERROR, "the upgrade skips a minor version", "skip-minor"),
    Check("PRE008", Phase.PLAN, _ERROR, "this Istio is out of support", "eol"),
    Check("PRE009", Phase.PLAN, _INFO, "it is not known how long this Istio is supported"),
    Check("PRE010", Phase.PLAN, _ERROR, "permissions are missing"),
    Check("PRE011", Phase.PLAN, _ERROR, "no node accepts pods"),
    Check("PRE012", Phase.PLAN, _EITHER, "an image pull secret does not exist"),
    Check("PRE013", Phase.PLAN, _WARNING, "the configuration no longer contains a release that meshinstall installed"),
    Check("PRE014", Phase.PLAN, _WARNING, "some pods may not fit on any node"),
    Check("PRE015", Phase.PLAN, _ERROR, "the revision of a running istiod would change in place"),
    Check("PRE016", Phase.PLAN, _ERROR, "the mesh in the cluster is another environment's", "environment"),
    Check("PRE017", Phase.PLAN, (Severity.ERROR, Severity.INFO), "somebody else installed or keeps the mesh", "takeover"),
    Check("PRE018", Phase.PLAN, _WARNING, "more than one PeerAuthentication is for the whole mesh"),
    Check("PRE019", Phase.PLAN, _WARNING, "a PeerAuthentication accepts plaintext where the environment wants STRICT"),
    Check("PRE020", Phase.PLAN, _WARNING, "PeerAuthentications could not be listed"),
    Check("PRE021", Phase.PLAN, _WARNING, "an unknown manager added fields to an object of the mesh"),
    Check("PRE022", Phase.PLAN, (Severity.WARNING, Severity.INFO), "an object of the mesh is changed at admission"),
    Check("PRE023", Phase.PLAN, _ERROR, "proxies use the control plane that would be removed", "in-use"),
    Check("PRE024", Phase.PLAN, _ANY, "STRICT comes to a mesh in use", "strict"),
    Check("PRE026", Phase.PLAN, _INFO, "CRDs of another Istio are in the cluster"),
    Check("PRE027", Phase.PLAN, _ERROR, "another helm may be at work", "at-work"),
    Check("PRE028", Phase.PLAN, _WARNING, "another run of meshinstall is at work"),
    Check("PRE030", Phase.PLAN, _ERROR, "helm cannot render a chart with these values"),
    # A dry run is not the run: what it refuses can be allowed by name.
    Check("PRE031", Phase.PLAN, _ERROR, "the API server or a policy refuses an object", "refused"),
    Check("PRE032", Phase.PLAN, _ERROR, "an object must be deleted and created again", "refused"),
    Check("PRE033", Phase.PLAN, _ERROR, "an object of this name belongs to somebody else"),
    Check("PRE034", Phase.PLAN, _WARNING, "the API server warns of an object"),
    Check("PRE035", Phase.PLAN, _WARNING, "some objects could not be tried"),
    Check("PRE036", Phase.PLAN, _ERROR, "this is an upgrade"),
    Check("PRE037", Phase.PLAN, _EITHER, "an upgrade is in progress"),
    Check("PRE038", Phase.PLAN, _EITHER, "the target lacks a fix", "missing-fix"),
    Check("PRE039", Phase.PLAN, _ERROR, "no legal hop leads to the target"),
    Check("PRE040", Phase.PLAN, _EITHER, "a setting names the images of another version"),
    Check("PRE041", Phase.PLAN, _EITHER, "a label names a revision that an upgrade removes"),
    Check("PRE042", Phase.PLAN, _EITHER, "Gateways lose their configuration when their revision changes", "gateway-outage"),
    Check("PRE043", Phase.PLAN, _EITHER, "a tag, a label or the default validator leads to an istiod that does not run"),
    Check("PRE044", Phase.PLAN, _EITHER, "the Gateway API is older than the target needs"),
    Check("PRE045", Phase.PLAN, _WARNING, "proxies and their istiod are too far apart"),
    Check("PRE046", Phase.PLAN, _WARNING, "the changes of a minor are unknown"),
    Check("PRE047", Phase.PLAN, _WARNING, "something of the mesh could not be read"),
    Check("PRE048", Phase.PLAN, _ERROR, "another minor would come in place, without a gate", "minor-in-place"),
    Check("PRE049", Phase.PLAN, _WARNING, "workloads of a wave would be down for a time", "downtime"),
    Check("PRE050", Phase.PLAN, _ERROR, "a policy has no namespace or no kind in the cluster"),
    Check("PRE051", Phase.PLAN, _EITHER, "policies could not be listed"),
    Check("PRE052", Phase.PLAN, _WARNING, "an AuthorizationPolicy of somebody else allows more"),
    Check("PRE053", Phase.PLAN, _WARNING, "a RequestAuthentication of somebody else accepts other tokens"),
    Check("PRE054", Phase.PLAN, _EITHER, "a DestinationRule would make clients send plaintext", "plaintext"),
    Check("PRE055", Phase.PLAN, _WARNING, "a DestinationRule is for a Service or pods that are not there"),
    Check("PRE056", Phase.PLAN, _ERROR, "every policy of the environment would be deleted", "no-policies"),
    Check("PRE057", Phase.PLAN, _ERROR, "helm would render a secret"),
    Check("PRE058", Phase.PLAN, _EITHER, "istiod cannot sign with the CA that the files name"),
    Check("PRE059", Phase.PLAN, _EITHER, "the mesh would get another root", "new-root"),
    Check("PRE060", Phase.PLAN, _WARNING, "an EnvoyFilter of somebody else may let in what policies refuse"),
    Check("PRE061", Phase.PLAN, _ERROR, "the cluster to restore to has a mesh already", "occupied"),
    Check("PRE062", Phase.PLAN, _ERROR, "this cluster or this Istio would refuse an object of the snapshot"),
    Check("PRE063", Phase.PLAN, _EITHER, "a namespace has other labels of Istio than in the snapshot"),
    Check("PRE064", Phase.PLAN, _ERROR, "policies that somebody else keeps are not there", "kept-policies"),
    Check("PRE901", Phase.PLAN, _ERROR, "no usable helm is on the PATH"),
    Check("CFG001", Phase.PLAN, (Severity.WARNING, Severity.INFO), "mesh-wide mTLS is not STRICT"),
    Check("CFG002", Phase.PLAN, _WARNING, "automatic mTLS is off"),
    Check("CFG003", Phase.PLAN, _WARNING, "the chart does not use a key that is set"),
    Check("CFG004", Phase.PLAN, _WARNING, "a value that is set changes nothing"),
    Check("CFG005", Phase.PLAN, _WARNING, "a value has another effect than it seems to have"),
    Check("CFG006", Phase.PLAN, _WARNING, "a policy is replaced without a rule of the layer below"),
)

_CHECK = (
    Check("CHK001", Phase.CHECK, _ERROR, "the cluster has a control plane"),
    Check("CHK002", Phase.CHECK, _ERROR, "the API server reaches istiod's webhooks"),
    Check("CHK003", Phase.CHECK, _ERROR, "webhooks trust istiod's CA"),
    Check("CHK004", Phase.CHECK, _EITHER, "invalid configuration is refused"),
    Check("CHK005", Phase.CHECK, _ERROR, "revisions and tags lead to an istiod"),
    Check("CHK006", Phase.CHECK, _ANY, "proxies have the version of their control plane"),
    Check("CHK007", Phase.CHECK, _WARNING, "proxies have the configuration that istiod last sent"),
    Check("CHK008", Phase.CHECK, _EITHER, "istiod has enough memory"),
    Check("CHK009", Phase.CHECK, _EITHER, "CA certificates do not expire soon"),
    Check("CHK010", Phase.CHECK, _EITHER, "workload certificates are renewed"),
    Check("CHK011", Phase.CHECK, _EITHER, "clocks agree"),
    Check("CHK012", Phase.CHECK, _WARNING, "namespace labels do not contradict each other"),
    Check("CHK013", Phase.CHECK, _ERROR, "namespaces and pods name revisions that exist"),
    Check("CHK014", Phase.CHECK, _ANY, "every PeerAuthentication has an effect"),
    Check("CHK015", Phase.CHECK, _ERROR, "Istio's CRDs are complete and serve every stored version"),
    Check("CHK016", Phase.CHECK, _WARNING, "the Gateway API fits this Istio"),
    Check("CHK017", Phase.CHECK, _WARNING, "dashboards and debug ports are not exposed"),
    Check("PRE900", Phase.CHECK, _ERROR, "every chart can be fetched and verified"),
    Check("PRE902", Phase.CHECK, (), "the plan can be made"),
)

_VERIFY = (
    Check("MTL001", Phase.VERIFY, _ERROR, "a policy accepts plaintext beside mutual TLS"),
    Check("MTL002", Phase.VERIFY, _ERROR, "a policy turns mutual TLS off"),
    Check("MTL003", Phase.VERIFY, _ERROR, "a policy opens a single port"),
    Check("MTL004", Phase.VERIFY, _WARNING, "a PeerAuthentication has no effect beside an older one"),
    Check("MTL005", Phase.VERIFY, (Severity.WARNING, Severity.INFO), "a PeerAuthentication, or a part of it, has no effect"),
    Check("MTL006", Phase.VERIFY, _WARNING, "the policies could not be read"),
    Check("MTL007", Phase.VERIFY, _WARNING, "two control planes claim one revision"),
    Check("MTL008", Phase.VERIFY, _WARNING, "istiod ignores an object because of its revision label or its namespace"),
    Check("MTL009", Phase.VERIFY, _ERROR, "a proxy accepts plaintext, by a policy that could not be read"),
    Check("MTL010", Phase.VERIFY, _ERROR, "a DestinationRule makes clients send plaintext"),
    Check("MTL011", Phase.VERIFY, _ERROR, "a DestinationRule makes clients use certificates that are not the mesh's"),
    Check("MTL012", Phase.VERIFY, _ERROR, "automatic mTLS is off, and clients send plaintext"),
    Check("MTL013", Phase.VERIFY, _WARNING, "the settings of clients could not be read"),
    Check("MTL014", Phase.VERIFY, _ERROR, "a client sends past its own proxy"),
    Check("MTL015", Phase.VERIFY, _ERROR, "clients send plaintext although no DestinationRule asks for it"),
    Check("MTL016", Phase.VERIFY, _ERROR, "clients do not know a Service, and send plaintext to it"),
    Check("MTL017", Phase.VERIFY, _WARNING, "some clients could not be asked"),
    Check("MTL018", Phase.VERIFY, _WARNING, "a part of the mesh is not a pod and cannot be asked"),
    Check("MTL019", Phase.VERIFY, _ERROR, "clients leave the mesh's TLS, and no object explains it"),
    Check("MTL020", Phase.VERIFY, _ERROR, "a pod in a namespace of the mesh has no proxy"),
    Check("MTL021", Phase.VERIFY, _ERROR, "traffic to a port bypasses the proxy"),
    Check("MTL022", Phase.VERIFY, _ERROR, "all traffic bypasses the proxy"),
    Check("MTL023", Phase.VERIFY, _ERROR, "a pod uses the node's network"),
    Check("MTL024", Phase.VERIFY, (Severity.WARNING, Severity.INFO), "a workload has pods that do not run"),
    Check("MTL025", Phase.VERIFY, _WARNING, "Istio never encrypts a port"),
    Check("MTL026", Phase.VERIFY, _WARNING, "some objects in the cluster could not be read"),
    Check("MTL027", Phase.VERIFY, _WARNING, "a namespace given on the command line has nothing to judge"),
    Check("MTL028", Phase.VERIFY, _WARNING, "traffic of one IP family may bypass the proxy"),
    Check("MTL029", Phase.VERIFY, _WARNING, "traffic of some interfaces bypasses the proxy"),
    Check("MTL030", Phase.VERIFY, _ERROR, "a proxy accepts plaintext against the policy"),
    Check("MTL031", Phase.VERIFY, _ERROR, "a proxy accepts clients without a certificate"),
    Check("MTL032", Phase.VERIFY, _WARNING, "a proxy's configuration could not be read"),
    Check("MTL033", Phase.VERIFY, _WARNING, "a proxy is stricter than the policy"),
    Check("MTL034", Phase.VERIFY, _WARNING, "a gateway may not have the last configuration"),
    Check("MTL035", Phase.VERIFY, _WARNING, "it is not known which clients a proxy accepts"),
    Check("MTL036", Phase.VERIFY, _WARNING, "an EnvoyFilter chooses where clients send"),
    Check("MTL037", Phase.VERIFY, _WARNING, "a pod does not show what is redirected to its proxy"),
    Check("MTL040", Phase.VERIFY, _ERROR, "a certificate is not valid now"),
    Check("MTL041", Phase.VERIFY, _WARNING, "a certificate was not renewed in time"),
    Check("MTL042", Phase.VERIFY, _ERROR, "a certificate names an identity that is not the pod's"),
    Check("MTL043", Phase.VERIFY, _ERROR, "a certificate does not lead to a root of the mesh"),
    Check("MTL044", Phase.VERIFY, _ERROR, "a proxy trusts a CA that is not the mesh's"),
    Check("MTL045", Phase.VERIFY, _WARNING, "a CA certificate expires soon"),
    Check("MTL046", Phase.VERIFY, _WARNING, "the mesh trusts more than one root"),
    Check("MTL047", Phase.VERIFY, _EITHER, "some namespaces lack a root that certificates lead to"),
    Check("MTL048", Phase.VERIFY, _WARNING, "certificates could not be judged"),
    Check("MTL049", Phase.VERIFY, _ERROR, "a CA certificate of the mesh is not valid now"),
    Check("MTL050", Phase.VERIFY, _ERROR, "a live probe was served in plaintext"),
    Check("MTL051", Phase.VERIFY, _ERROR, "a live probe without a client certificate was served"),
    Check("MTL052", Phase.VERIFY, _ERROR, "a live probe with a foreign certificate was served"),
    Check("MTL053", Phase.VERIFY, _ERROR, "a live probe met an unexpected identity"),
    Check("MTL054", Phase.VERIFY, _WARNING, "live probes were inconclusive"),
    Check("MTL055", Phase.VERIFY, _WARNING, "a port was not probed"),
    Check("MTL056", Phase.VERIFY, _WARNING, "an ambient workload declares no port to probe"),
    Check("MTL057", Phase.VERIFY, _WARNING, "metrics of applications leave in plaintext"),
    Check("MTL060", Phase.VERIFY, _WARNING, "workloads received plaintext in the past (`--history`)"),
    Check("MTL061", Phase.VERIFY, _WARNING, "a workload receives plaintext now (`--callers`)"),
)

_POLICY = (
    Check("POL001", Phase.POLICY, _ERROR, "a text in a rule matches nothing"),
    Check("POL002", Phase.POLICY, _WARNING, "a principal is nobody of this mesh"),
    Check("POL003", Phase.POLICY, _EITHER, "a DENY blocks ports that it does not mean"),
    Check("POL004", Phase.POLICY, _ERROR, "an ALLOW lets nothing through a port that is not HTTP"),
    Check("POL005", Phase.POLICY, _WARNING, "an ALLOW lets clients without an identity in"),
    Check("POL006", Phase.POLICY, _ERROR, "a DENY or CUSTOM has no rules"),
    Check("POL007", Phase.POLICY, _ERROR, "an ALLOW opens the whole mesh"),
    Check("POL008", Phase.POLICY, _WARNING, "an ALLOW closes the rest of the whole mesh"),
    Check("POL009", Phase.POLICY, _ERROR, "a CUSTOM names a provider that the mesh does not have"),
    Check("POL010", Phase.POLICY, _ERROR, "a rule names a port of the Service"),
    Check("POL011", Phase.POLICY, _ERROR, "keys of an issuer come without TLS"),
    Check("POL012", Phase.POLICY, _WARNING, "a token that was made for another service is accepted"),
    Check("POL013", Phase.POLICY, _WARNING, "a request without a token passes"),
    Check("POL014", Phase.POLICY, _ERROR, "jwks is not what it must be"),
    Check("POL015", Phase.POLICY, _WARNING, "a rule goes by tokens that nothing reads"),
    Check("POL016", Phase.POLICY, _ERROR, "a rule names an issuer that nothing reads"),
    Check("POL017", Phase.POLICY, _ERROR, "a policy has a selector and targetRefs"),
    Check("POL018", Phase.POLICY, _ERROR, "ports are set without a workload"),
    Check("POL019", Phase.POLICY, _WARNING, "a policy of the root namespace selects pods"),
    Check("POL020", Phase.POLICY, _WARNING, "a policy turns mutual TLS off for who goes by it"),
    Check("POL021", Phase.POLICY, _ERROR, "no token has this issuer"),
    Check("POL022", Phase.POLICY, _WARNING, "an issuer is not one of the environment's identity providers"),
    Check("POL023", Phase.POLICY, _EITHER, "a rule for tokens says otherwise than its identity provider"),
    Check("POL024", Phase.POLICY, _ERROR, "a rule names principals of tokens that have no sub"),
    Check("POL025", Phase.POLICY, _ERROR, "an identity provider's own document says otherwise"),
    Check("POL026", Phase.POLICY, _WARNING, "NOT COMPARED: an identity provider's document could not be read"),
    Check("POL027", Phase.POLICY, _WARNING, "an ALLOW lets everybody in"),
    Check("POL028", Phase.POLICY, _WARNING, "a namespace looks like a slip of another"),
    Check("POL029", Phase.POLICY, _ERROR, "a CUSTOM goes by who calls"),
    Check("POL030", Phase.POLICY, _ERROR, "istiod refuses a rule"),
    Check("POL031", Phase.POLICY, _WARNING, "a path with two slashes passes a rule"),
    Check("POL032", Phase.POLICY, _WARNING, "a host with a port passes a rule"),
    Check("POL033", Phase.POLICY, _ERROR, "a dot in a service account is any character to this Istio"),
    Check("POL034", Phase.POLICY, _WARNING, "nothing enforces a policy with these targetRefs"),
    Check("POL035", Phase.POLICY, _EITHER, "ztunnel enforces a policy otherwise, or not at all"),
    Check("POL036", Phase.POLICY, _WARNING, "a policy behind a waypoint goes by who calls"),
    Check("POL037", Phase.POLICY, _WARNING, "a policy of the root namespace locks gateways"),
    Check("POL038", Phase.POLICY, _WARNING, "policies refuse the preflights of browsers"),
    Check("POL039", Phase.POLICY, _WARNING, "a DENY is passed by plaintext"),
    Check("POL040", Phase.POLICY, _WARNING, "a path with another ending passes a rule"),
    Check("POL041", Phase.POLICY, _ERROR, "this Istio has a fault by which a rule is passed"),
    Check("POL042", Phase.POLICY, _ERROR, "this Istio does not know a field or a key"),
    Check("POL043", Phase.POLICY, _WARNING, "a bad token passes beside a good one"),
    Check("POL044", Phase.POLICY, _WARNING, "one issuer has two rules, which add up"),
    Check("POL045", Phase.POLICY, _EITHER, "a rule for tokens has no issuer"),
    Check("POL046", Phase.POLICY, _WARNING, "a claim may be of any issuer"),
    Check("POL047", Phase.POLICY, _WARNING, "keys of an issuer are copied"),
    Check("POL048", Phase.POLICY, _WARNING, "istiod or the proxies may not get the keys of an issuer"),
    Check("POL049", Phase.POLICY, _WARNING, "Prometheus is refused"),
    Check("POL050", Phase.POLICY, _WARNING, "a rule names a port of the proxy itself"),
    Check("POL051", Phase.POLICY, _INFO, "a bad token is refused where a rule asks for none"),
    Check("POL052", Phase.POLICY, _WARNING, "a selector matches no workload"),
    Check("POL060", Phase.POLICY, _EITHER, "a namespace of kustomize moves Istio's objects"),
    Check("POL061", Phase.POLICY, _WARNING, "a prefix or a suffix of kustomize renames what others name"),
    Check("POL062", Phase.POLICY, _WARNING, "a merge patch replaces a list of an Istio object"),
    Check("POL063", Phase.POLICY, _WARNING, "Argo CD ignores nothing by a rule"),
    Check("POL064", Phase.POLICY, _WARNING, "Argo CD writes what it ignores"),
)

_EKS = (
    Check("EKS001", Phase.EKS, _ERROR, "the cluster is not ACTIVE"),
    Check("EKS002", Phase.EKS, _WARNING, "the cluster is being updated"),
    Check("EKS003", Phase.EKS, _WARNING, "AWS reports a health issue"),
    Check("EKS004", Phase.EKS, _WARNING, "Kubernetes is out of standard support"),
    Check("EKS005", Phase.EKS, _INFO, "the API server has only a private endpoint"),
    Check("EKS006", Phase.EKS, _INFO, "the public endpoint accepts only some addresses"),
    Check("EKS007", Phase.EKS, _WARNING, "the caller has no access entry"),
    Check("EKS008", Phase.EKS, _ERROR, "every node is a Fargate node"),
    Check("EKS009", Phase.EKS, _EITHER, "a Fargate profile selects the mesh's own pods"),
    Check("EKS010", Phase.EKS, _WARNING, "some nodes are Fargate nodes"),
    Check("EKS011", Phase.EKS, _WARNING, "Auto Mode creates no load balancer for the gateway"),
    Check("EKS012", Phase.EKS, _WARNING, "the cluster has Windows nodes"),
    Check("EKS013", Phase.EKS, _WARNING, "NOT PROVEN: something could not be read"),
    # Allowed by name because something that is not read, such as a firewall policy above the network, may open the port.
    Check("EKS014", Phase.EKS, _ERROR, f"the control plane does not reach port {WEBHOOK_PORT}", "webhook-port"),
    Check("EKS015", Phase.EKS, _WARNING, f"NOT PROVEN: whether the control plane reaches port {WEBHOOK_PORT}"),
    Check("EKS016", Phase.EKS, _ERROR, f"the control plane's security groups do not let port {WEBHOOK_PORT} out", "webhook-port"),
    Check("EKS017", Phase.EKS, _EITHER, "hybrid nodes: the API server may not reach webhooks on them", "webhook-port"),
    Check("EKS018", Phase.EKS, _WARNING, "the AWS Load Balancer Controller does not run: gateways stay pending"),
)

_AKS = (
    Check("AKS001", Phase.AKS, _ERROR, "the cluster is stopped, not created yet, or being deleted"),
    Check("AKS002", Phase.AKS, _WARNING, "the cluster is being changed, or its last change failed"),
    Check("AKS003", Phase.AKS, _ERROR, "the API server cannot be reached from here"),
    Check("AKS004", Phase.AKS, _WARNING, "the API server shows the caller no node"),
    Check("AKS005", Phase.AKS, _ERROR, "the AKS service mesh add-on is on"),
    Check("AKS006", Phase.AKS, _WARNING, "the admissions enforcer changes the injector's webhook"),
    Check("AKS007", Phase.AKS, _ERROR, "a namespace of the mesh has the label control-plane"),
    Check("AKS008", Phase.AKS, _WARNING, "a node pool is being changed, or its last change failed"),
    Check("AKS009", Phase.AKS, _WARNING, "the Kubernetes of a node pool is too old"),
    Check("AKS010", Phase.AKS, _WARNING, "the cluster has Windows nodes"),
    Check("AKS011", Phase.AKS, _WARNING, "the cluster has virtual nodes"),
    Check("AKS012", Phase.AKS, _WARNING, "Kubernetes is past its standard support on AKS"),
    Check("AKS013", Phase.AKS, _WARNING, "the cluster does not use Entra ID"),
    Check("AKS014", Phase.AKS, _INFO, "local accounts are on beside Entra ID"),
    Check("AKS015", Phase.AKS, _WARNING, "NOT PROVEN: istio-cni beside Azure's Cilium"),
    Check("AKS016", Phase.AKS, _WARNING, "NOT PROVEN: something could not be read"),
    Check("AKS017", Phase.AKS, _ERROR, "application routing runs an Istio of AKS's own"),
    Check("AKS018", Phase.AKS, _WARNING, "AKS Automatic refuses pods that Istio needs"),
)

_GKE = (
    Check("GKE001", Phase.GKE, _ERROR, "the cluster is not created yet, being deleted, or in ERROR"),
    Check("GKE002", Phase.GKE, _WARNING, "the cluster is being changed, or degraded"),
    Check("GKE003", Phase.GKE, _WARNING, "GKE reports a condition"),
    Check("GKE004", Phase.GKE, _WARNING, "a node pool is not running"),
    Check("GKE005", Phase.GKE, _WARNING, "something may keep the caller from the API server"),
    Check("GKE006", Phase.GKE, _WARNING, "NOT PROVEN: the webhook's port on private nodes"),
    Check("GKE007", Phase.GKE, _ERROR, "no firewall rule opens the webhook's port", "webhook-port"),
    Check("GKE008", Phase.GKE, _ERROR, "Autopilot refuses istio-cni and ztunnel"),
    Check("GKE009", Phase.GKE, _ERROR, "Autopilot refuses NET_ADMIN"),
    Check("GKE010", Phase.GKE, _WARNING, "the cluster has Windows nodes"),
    Check("GKE011", Phase.GKE, _ERROR, "the fleet manages a mesh in this cluster"),
    Check("GKE012", Phase.GKE, _WARNING, "Kubernetes is past its standard support on GKE"),
    Check("GKE013", Phase.GKE, _WARNING, "nodes are too far behind their control plane"),
    Check("GKE014", Phase.GKE, _WARNING, "NOT PROVEN: something could not be read"),
    Check("GKE015", Phase.GKE, _ERROR, "the add-on that makes load balancers is off"),
    Check("GKE016", Phase.GKE, _ERROR, "the cluster does not know a gateway's loadBalancerClass"),
    Check("GKE017", Phase.GKE, _WARNING, "a gateway gets another load balancer than is recommended or meant"),
)

# Every code there is; one that was used before is never used for something else.
CHECKS: Mapping[str, Check] = {check.code: check for check in (*_PLAN, *_CHECK, *_VERIFY, *_POLICY, *_EKS, *_AKS, *_GKE)}


def address(code: str) -> str:
    """Where a code is explained: the anchor of its section."""
    return f"{PAGE}#{code.lower()}"
