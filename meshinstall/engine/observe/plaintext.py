"""Looks at a mesh to which STRICT comes: who of it is called in plaintext, as far as proxies, objects and a Prometheus tell."""

from dataclasses import replace

import anyio

from meshinstall.engine.mesh.api_server_clients import ask_api_server_clients
from meshinstall.engine.mesh.callers import ask_callers
from meshinstall.engine.mesh.plaintext_history import ask_history
from meshinstall.engine.mesh.survey import survey
from meshinstall.engine.session import Session
from meshinstall.model.mesh import MeshFacts

# Seconds for all of it, and days that a Prometheus is asked for.
_PATIENCE = 60.0
_DAYS = 7


async def plaintext_facts(session: Session) -> MeshFacts | None:
    """The mesh, what its proxies and a Prometheus counted, and what makes the API server call it; None when that takes too long.

    Raises UnreachableError when the API server is not there.
    """
    with anyio.move_on_after(_PATIENCE):
        facts = await caller_facts(session, _DAYS)
        # A cluster without a Prometheus is nothing to tell.
        return facts if facts.history and facts.history.source else replace(facts, history=None)
    return None


async def caller_facts(session: Session, days: int, *, identities: bool = False) -> MeshFacts:
    """The same in as much time as it takes, with why no Prometheus tells; with ``identities`` that tells who called by mutual TLS.

    Raises UnreachableError.
    """
    facts = await survey(session)
    called = await ask_api_server_clients(session)
    return replace(
        facts,
        history=await ask_history(session, days, identities=identities),
        callers=await ask_callers(facts.pods, session.pods, None),
        api_clients=called.clients,
        gaps=tuple(dict.fromkeys((*facts.gaps, *called.gaps))),
        unread=tuple(sorted({*facts.unread, *called.unread})),
    )
