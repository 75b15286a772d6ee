"""What is kept of a mesh at the end of a night: proxies by version, when certificates expire, when support ends.

Requests: one list of ConfigMaps, and up to two Secrets for each namespace of istiods; the rest was read before.
"""

from collections import Counter
from datetime import date

from meshinstall.catalog import support
from meshinstall.engine.mesh.authorities import Held, ask_roots, ask_signers, judged
from meshinstall.engine.mesh.reader import Asker
from meshinstall.engine.session import Session
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.night import CertificateEnd, ProxiesAt, Sight


async def see(position: MeshPosition, session: Session) -> Sight:
    """The sight of a position; what could not be read is a gap."""
    asker, planes = Asker(session.kube), frozenset(plane.place.namespace for plane in position.planes)
    roots, signers = await ask_roots(asker), await ask_signers(asker, planes)
    authorities = judged(Held(roots, signers), (), planes, session.certificates)
    certificates = tuple(CertificateEnd(one.subject, one.fingerprint, one.not_after) for one in authorities.own)
    return Sight(_proxies(position), certificates, _ends(position), (*position.gaps, *asker.gaps, *authorities.gaps))


def _proxies(position: MeshPosition) -> tuple[ProxiesAt, ...]:
    counts: Counter[tuple[str, str]] = Counter()
    for one in position.proxied:
        for proxies in one.proxies:
            counts[str(proxies.version or ""), proxies.revision] += proxies.count
    return tuple(ProxiesAt(version, revision, count) for (version, revision), count in sorted(counts.items()))


def _ends(position: MeshPosition) -> tuple[tuple[str, date | None], ...]:
    lines = sorted({plane.version.line for plane in position.planes if plane.version})
    known = {line: support(f"{line}.0") for line in lines}
    return tuple((line, row.end_of_life if row else None) for line, row in known.items())
