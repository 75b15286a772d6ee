"""Reads the CA that the files of a mesh name, and the roots that its namespaces trust now.

Requests: one Secret, and one list of the ConfigMaps with roots. The key is held against its certificate, and kept nowhere. Where the files
name none these are asked for on a cluster without a control plane alone, and, where roots are left there, all pods.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace

from meshinstall.engine.mesh.authorities import ask_roots, ask_signers
from meshinstall.engine.mesh.reader import Asker
from meshinstall.engine.objects.json_fields import at, table, text
from meshinstall.engine.observe.users import users
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.own_ca import CaParts, LostRoot, OwnCa, OwnCaFacts
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

# The two forms that istiod knows; that of cert-manager counts wherever its first key is (istio: pilot/pkg/bootstrap/istio_ca.go,
# detectSigningCABundleAndCRL). Signer, key, chain and roots.
_TLS = ("tls.crt", "tls.key", "", "ca.crt")
_ISTIO = ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")


async def with_own_ca(desired: Desired, facts: Facts, session: Session) -> Facts:
    """The facts, with what is there of the CA that the files name, or with proxies whose root is lost. Raises ClusterError."""
    if desired.ca is None:
        return facts if facts.control_planes else replace(facts, lost_root=await _lost_root(desired, session))
    asker = Asker(session.kube)
    roots = await ask_roots(asker)
    found = await _find(desired.ca, desired.mesh_namespace, session)
    trusted = _fingerprints(roots, asker, session)
    return replace(facts, own_ca=replace(found, trusted=trusted, unread=found.unread or next(iter(asker.gaps), "")))


def _fingerprints(roots: Mapping[str, bytes], asker: Asker, session: Session) -> dict[str, tuple[str, ...]]:
    found = dict[str, tuple[str, ...]]()
    for space, pem in sorted(roots.items()):
        try:
            found[space] = tuple(one.fingerprint for one in session.certificates.read_roots(pem))
        except ClusterError as error:
            asker.gaps.append(f"the roots of namespace {space} could not be parsed: {error.message}")
    return found


async def _lost_root(desired: Desired, session: Session) -> LostRoot | None:
    """Pods whose proxies are left from a mesh whose CA is gone; None where there are none, and where that cannot be told."""
    asker = Asker(session.kube)
    trusted = _fingerprints(await ask_roots(asker), asker, session)
    if not trusted:
        return None
    signers = await ask_signers(asker, {desired.mesh_namespace})
    kept = {one for roots in _fingerprints(signers, asker, session).values() for one in roots}
    if asker.gaps:
        return None
    strayed = {space for space, roots in trusted.items() if not kept & set(roots)}
    found = await users(session.kube, desired) if strayed else None
    proxies = {space: count for space, count in found.all_proxied.items() if space in strayed} if found else {}
    return LostRoot(proxies, next(iter(signers), "")) if proxies else None


async def _find(wanted: OwnCa, namespace: str, session: Session) -> OwnCaFacts:
    try:
        secret = await session.kube.get(object_path("v1", "secrets", namespace, wanted.secret))
    except ForbiddenError as error:
        return OwnCaFacts(wanted, unread=error.message)
    if secret is None:
        return OwnCaFacts(wanted)
    form = _TLS if _TLS[0] in table(secret.get("data")) else _ISTIO
    missing = tuple(key for key in form if key and key not in table(secret.get("data")))
    if missing:
        return OwnCaFacts(wanted, missing)
    try:
        chain = session.certificates.read_ca(_parts(secret, form), wanted.trust_domain, namespace)
    except ClusterError as error:
        return OwnCaFacts(wanted, (), unread=error.message)
    except ValueError:
        return OwnCaFacts(wanted, (), unread="a value in it is not base64")
    return OwnCaFacts(wanted, (), chain)


def _parts(secret: Manifest, form: tuple[str, str, str, str]) -> CaParts:
    """Raises ValueError for what is not base64."""
    signer, key, chain, roots = (base64.b64decode(text(at(secret, "data", name)), validate=True) if name else b"" for name in form)
    return CaParts(signer, key, chain if form is _ISTIO else b"\n".join((signer, roots)), roots)
