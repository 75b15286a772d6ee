"""All findings about the policies of some files; pure."""

from collections.abc import Iterator

from meshinstall.checks.policies.applications import ignoring
from meshinstall.checks.policies.attachment import attached
from meshinstall.checks.policies.bypasses import passed_by
from meshinstall.checks.policies.effects import other_effects
from meshinstall.checks.policies.gateways import locked, preflights
from meshinstall.checks.policies.identity import against_providers, without_subject
from meshinstall.checks.policies.keys import keys_out_of_reach
from meshinstall.checks.policies.never import never_matching
from meshinstall.checks.policies.peers import attached_twice, peers
from meshinstall.checks.policies.plaintext import without_identity
from meshinstall.checks.policies.reading import Policies
from meshinstall.checks.policies.refused import refused
from meshinstall.checks.policies.scraping import own_ports, scraped
from meshinstall.checks.policies.selectors import Workloads
from meshinstall.checks.policies.several_issuers import of_any_issuer, together
from meshinstall.checks.policies.tokens import issuers, refused_all_the_same, without_issuer
from meshinstall.checks.policies.versions import by_version
from meshinstall.checks.policies.waypoints import not_by_sidecars
from meshinstall.model.finding import Finding


def judge(policies: Policies) -> Iterator[Finding]:
    """What the policies do that they do not say, or say and never do; object by object, in the order of the files."""
    workloads = Workloads(policies)
    for one in policies.objects:
        yield from workloads.unmatched(one)
        match (one.group, one.kind):
            case "security.istio.io", "AuthorizationPolicy":
                yield from attached_twice(one)
                yield from attached(policies, one)
                yield from not_by_sidecars(policies, one)
                yield from refused(one)
                yield from never_matching(policies, one)
                yield from other_effects(policies, one)
                yield from without_identity(policies, one)
                yield from locked(policies, one)
                yield from passed_by(policies, one)
                yield from by_version(policies, one)
                yield from own_ports(one)
                yield from without_issuer(policies, one)
                yield from of_any_issuer(policies, one)
                yield from refused_all_the_same(policies, one)
                yield from without_subject(policies, one)
            case "security.istio.io", "RequestAuthentication":
                yield from attached_twice(one)
                yield from attached(policies, one)
                yield from not_by_sidecars(policies, one)
                yield from refused(one)
                yield from issuers(policies, one)
                yield from against_providers(policies, one)
                yield from together(policies, one)
                yield from keys_out_of_reach(policies, one)
            case "security.istio.io", "PeerAuthentication":
                yield from peers(policies, one)
            case "argoproj.io", "Application" | "ApplicationSet":
                yield from ignoring(one)
            case ("networking.istio.io", "VirtualService") | ("gateway.networking.k8s.io", "HTTPRoute"):
                yield from preflights(policies, one)
            case ("apps", "Deployment" | "StatefulSet" | "DaemonSet") | ("monitoring.coreos.com", "ServiceMonitor"):
                yield from scraped(policies, one)
