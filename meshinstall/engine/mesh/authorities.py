"""Reads the CA certificates of a mesh: the roots that istiod gives to every namespace, and the CA that istiod signs with."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from meshinstall.engine.mesh.ca_objects import ca_of, roots_of
from meshinstall.engine.mesh.kube_objects import place
from meshinstall.engine.mesh.reader import Asker, Wanted, short
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.istio import CA_SECRETS, ROOT_CERTIFICATE
from meshinstall.model.mesh import CertificateFacts
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Certificates


@dataclass(frozen=True, slots=True)
class Held:
    """Certificates in PEM: the roots that each namespace has, and what istiods sign with, by the object that they stand in."""

    roots: Mapping[str, bytes]
    signers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Authorities:
    """``own`` are the mesh's authorities, ``anchors`` its roots in PEM, ``roots`` fingerprints of those that each namespace has."""

    own: tuple[CertificateFacts, ...]
    anchors: bytes
    roots: Mapping[str, tuple[str, ...]]
    gaps: tuple[str, ...]


async def ask_roots(asker: Asker) -> dict[str, bytes]:
    """The roots in PEM that each namespace has, by one list."""
    wanted = Wanted("ConfigMaps", object_path("v1", "configmaps"), fields=f"metadata.name={ROOT_CERTIFICATE}")
    return dict(await asker.facts(wanted, _root))


async def ask_signers(asker: Asker, planes: AbstractSet[str]) -> dict[str, bytes]:
    """What istiods sign with, by Secret; up to two for each of ``planes``, the namespaces of istiods. Keys are not looked at."""
    answers = await gather(planes, lambda space: _signers(asker, space))
    return {what: pem for found in answers.values() for what, pem in found.items()}


async def _signers(asker: Asker, namespace: str) -> dict[str, bytes]:
    """The first Secret that is there; none where somebody else signs."""
    for name in CA_SECRETS:
        what = f"Secret {namespace}/{name}"
        if pem := await asker.one(what, object_path("v1", "secrets", namespace, name), lambda secret: ca_of(secret).chain):
            return {what: pem}
    return {}


def _root(item: Manifest) -> tuple[str, bytes]:
    return place(item).namespace, roots_of(item)


def judged(held: Held, named: Iterable[str], planes: AbstractSet[str], certificates: Certificates) -> Authorities:
    """Read all that was found.

    Only what the namespaces of istiods hold is the mesh's own, and the roots that
    its configuration names: anybody may write into a namespace of his.
    """
    gaps: list[str] = []
    seen: dict[bytes, tuple[CertificateFacts, ...]] = {b"": ()}

    def read(what: str, pem: bytes, look: Callable[[bytes], tuple[CertificateFacts, ...]]) -> tuple[CertificateFacts, ...]:
        if pem not in seen:
            try:
                seen[pem] = look(pem)
            except ClusterError as error:
                seen[pem] = ()
                gaps.append(f"{what} could not be parsed: {short(error)}")
        return seen[pem]

    roots = {
        space: read(f"ConfigMap {space}/{ROOT_CERTIFICATE}", pem, certificates.read_roots) for space, pem in sorted(held.roots.items())
    }
    own = [held.roots[space] for space in sorted(planes & held.roots.keys())]
    own += [pem.encode() for pem in named]
    found = [one for pem in own for one in read("a root in the mesh configuration", pem, certificates.read_roots)]
    # One that cannot be read must not make the others useless.
    anchors = b"\n".join(dict.fromkeys(pem for pem in own if seen[pem]))
    for what, pem in sorted(held.signers.items()):
        found += read(what, pem, lambda pem: certificates.read_chain(pem, anchors))
    return Authorities(
        own=tuple({one.fingerprint: one for one in found}.values()),
        anchors=anchors,
        roots={space: tuple(one.fingerprint for one in found) for space, found in roots.items()},
        gaps=tuple(gaps),
    )
