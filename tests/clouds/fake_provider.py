"""A provider in memory, of one cluster."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from meshinstall.model.cluster import Caller, Chosen, Cloud, CloudCluster, ClusterRef, Credential, Endpoint, EndpointKind, Listing
from testbed.pki import Authority

PLANTED = "planted"
AUTHORITY = Authority("cluster").pair.certificate
SHOP = CloudCluster(
    Cloud.EKS,
    "shop",
    "eu-west-1",
    "1.36",
    "ACTIVE",
    ready=True,
    endpoint=Endpoint("https://127.0.0.1:1", AUTHORITY, EndpointKind.PUBLIC),
    selectors={"region": "eu-west-1"},
)
REF = ClusterRef(Cloud.EKS, "shop", selectors={"role_arn": "arn:aws:iam::1:role/a", "profile": "work"})


@dataclass
class FakeProvider:
    """Implements ports.Provider; credentials are numbered and live as long as ``life`` says."""

    life: timedelta = timedelta(minutes=14)
    certificate: bool = False
    choice: Chosen = field(default_factory=Chosen)
    given: list[str] = field(default_factory=list)

    def describe(self) -> CloudCluster:
        """The one cluster."""
        return SHOP

    def credential(self) -> Credential:
        """The next one."""
        self.given.append(f"{PLANTED}-{len(self.given)}")
        if self.certificate:
            pair = Authority("clients").client("me")
            return Credential(certificate=pair.certificate.decode(), key=pair.key.decode())
        return Credential(token=self.given[-1], expires=datetime.now(UTC) + self.life)

    def inspect(self, cluster: CloudCluster) -> CloudCluster:
        """Nothing more is known."""
        return cluster

    def chosen(self) -> Chosen:
        """As the test wants it."""
        return self.choice

    def discover(self) -> Listing:
        """The one cluster."""
        return Listing((SHOP,), caller=Caller("me"))
