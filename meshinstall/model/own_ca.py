"""The CA that the files of a mesh name: a Secret that istiod signs with, and what was read of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshinstall.model.mesh import CertificateFacts


@dataclass(frozen=True, slots=True)
class OwnCa:
    """``ca.secret`` of meshinstall.yaml; ``origin`` is the line that says so, ``trust_domain`` that of the mesh."""

    secret: str
    origin: str
    trust_domain: str


@dataclass(frozen=True, slots=True)
class CaParts:
    """The files of a CA in PEM as istiod takes them: ``sent`` goes along with every certificate of a workload. The key is never shown."""

    signer: bytes
    key: bytes = field(repr=False)
    sent: bytes
    roots: bytes


@dataclass(frozen=True, slots=True)
class CaChain:
    """A CA as those see it who are shown a certificate of a workload.

    ``path`` leads from the certificate that signs to one of ``roots``, which are fingerprints; it is empty where it leads nowhere.
    ``flaws`` say in words why a workload, or istiod, could not use it.
    """

    path: tuple[CertificateFacts, ...]
    roots: tuple[str, ...]
    flaws: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnCaFacts:
    """What is there of a wanted CA.

    ``missing`` are the keys that its Secret lacks, None where there is no Secret; ``chain`` is None where it could not be read.
    ``unread`` says why something could not be asked. ``trusted`` are fingerprints of the roots that each namespace has now.
    """

    wanted: OwnCa
    missing: tuple[str, ...] | None = None
    chain: CaChain | None = None
    unread: str = ""
    trusted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LostRoot:
    """Proxies without a control plane, by namespace, that trust no root which a new istiod would have; ``secret`` is its CA, if any."""

    proxies: Mapping[str, int]
    secret: str = ""
