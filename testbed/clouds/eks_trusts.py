"""What the trust policy of a role may ask of who assumes it: an external id, an MFA code, a source identity, session tags."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from testbed.clouds.eks_identity import RefusedError


@dataclass(frozen=True, slots=True)
class Trust:
    """Conditions of a role; ``mfa`` maps the serial number of each device to the code that it shows."""

    external_id: str = ""
    mfa: Mapping[str, str] = field(default_factory=dict)
    source_identity: str = ""
    tags: frozenset[tuple[str, str]] = frozenset()

    def check(self, caller: str, role: str, form: Mapping[str, str]) -> None:
        """Compare a request with the conditions; raises RefusedError as STS words it."""
        serial = form.get("SerialNumber", "")
        if serial and self.mfa.get(serial) != form.get("TokenCode", ""):
            raise RefusedError(403, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
        given = {(form.get(f"Tags.member.{number}.Key"), form.get(f"Tags.member.{number}.Value")) for number in range(1, 10)}
        if (
            (self.mfa and not serial)
            or form.get("ExternalId", "") != self.external_id
            or form.get("SourceIdentity", "") != self.source_identity
            or not self.tags <= given
        ):
            raise RefusedError(403, "AccessDenied", f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role}")
