"""All findings about the policies of some files; pure."""

from collections.abc import Iterator

from meshinstall.checks.policies.attachment import attached
from meshinstall.checks.policies.bypasses import passed_by
from meshinstall.checks.policies.effects import other_effects
from meshinstall.checks.policies.identity import against_providers, without_subject
from meshinstall.checks.policies.never import never_matching
from meshinstall.checks.policies.peers import attached_twice, peers
from meshinstall.checks.policies.reading import Policies
from meshinstall.checks.policies.refused import refused
from meshinstall.checks.policies.tokens import issuers, without_issuer
from meshinstall.model.finding import Finding


def judge(policies: Policies) -> Iterator[Finding]:
    """What the policies do that they do not say, or say and never do; object by object, in the order of the files."""
    for one in policies.objects:
        match (one.group, one.kind):
            case "security.istio.io", "AuthorizationPolicy":
                yield from attached_twice(one)
                yield from attached(policies, one)
                yield from refused(one)
                yield from never_matching(policies, one)
                yield from other_effects(policies, one)
                yield from passed_by(policies, one)
                yield from without_issuer(policies, one)
                yield from without_subject(policies, one)
            case "security.istio.io", "RequestAuthentication":
                yield from attached_twice(one)
                yield from attached(policies, one)
                yield from refused(one)
                yield from issuers(policies, one)
                yield from against_providers(policies, one)
            case "security.istio.io", "PeerAuthentication":
                yield from peers(policies, one)
