"""What live probes of a port prove, together."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from meshinstall.model.mesh import Place
from meshinstall.model.verdict import Evidence, Outcome, Source
from meshinstall.model.wire import Answer, Probe, Probing, Seen

# Who must not get in, and the finding when one did.
_REFUSALS: Mapping[Probe, str] = {Probe.PLAINTEXT: "MTL050", Probe.ANONYMOUS: "MTL051", Probe.FOREIGN: "MTL052"}
# Characters of what the other side said.
_MOST = 200


class Names(NamedTuple):
    """The SPIFFE names that the two sides may have: the server's in full, the client's by its trust domain."""

    server: frozenset[str]
    domains: tuple[str, ...]


def wire_evidence(seen: tuple[Seen, ...], names: Names, pod: str) -> tuple[Evidence, ...]:
    """All four probes of one port: each must have been seen to end as it should."""
    answers = {one.probe: one for one in seen}
    found = [
        Evidence(Source.WIRE, outcome, text, pod, code) for outcome, text, code in (*_violations(answers, names), *_doubts(answers, names))
    ]
    if found:
        return tuple(found)
    text = f"refused {', '.join(_REFUSALS)}; served a meshed client as {answers[Probe.MESHED].identity}"
    return (Evidence(Source.WIRE, Outcome.PASS, text, pod),)


def _violations(answers: Mapping[Probe, Seen], names: Names) -> Iterator[tuple[Outcome, str, str]]:
    for probe, code in _REFUSALS.items():
        seen = answers.get(probe)
        if seen and seen.answer is Answer.SERVED:
            yield Outcome.FAIL, f"{probe} was served{_words(seen)}", code
    meshed = answers.get(Probe.MESHED)
    if meshed and _is_named(meshed) and names.server:
        if meshed.identity not in names.server:
            yield Outcome.FAIL, f"the server's identity is {meshed.identity[:_MOST]}, not {' or '.join(sorted(names.server))}", "MTL053"
        if not any(meshed.client_identity.startswith(f"spiffe://{domain}/") for domain in names.domains):
            yield (
                Outcome.FAIL,
                f"the client's identity is {meshed.client_identity[:_MOST]}, which is not in a trust domain of the mesh",
                "MTL053",
            )


def _doubts(answers: Mapping[Probe, Seen], names: Names) -> Iterator[tuple[Outcome, str, str]]:
    """What proves nothing; probes with the same answer are said together."""
    same: dict[str, list[str]] = {}
    for probe in _REFUSALS:
        seen = answers.get(probe)
        if seen is None or seen.answer not in {Answer.REFUSED, Answer.SERVED}:
            same.setdefault(f"{seen.answer}{_words(seen)}" if seen else "was not tried", []).append(probe)
    meshed = answers.get(Probe.MESHED)
    if meshed is None or meshed.answer is not Answer.SERVED:
        same.setdefault(f"{meshed.answer}{_words(meshed)}" if meshed else "was not tried", []).append(Probe.MESHED)
    elif not _is_named(meshed) or not names.server:
        why = "the identities of both sides were not seen" if names.server else "cannot tell the expected identity"
        same[f"was served, but {why}"] = [Probe.MESHED]
    for text, probes in same.items():
        yield Outcome.NOT_PROVEN, f"{', '.join(probes)}: {text}", "MTL054"


def _is_named(meshed: Seen) -> bool:
    return meshed.answer is Answer.SERVED and bool(meshed.identity and meshed.client_identity)


def untried(probing: Probing) -> Evidence:
    """Why a port has no answer of the wire."""
    if probing.skipped:
        text = f"not probed: {probing.skipped}"
    elif probing.problem:
        text = f"could not be probed: {probing.problem}"
    else:
        text = "not among the ports that were probed"
    return Evidence(Source.WIRE, Outcome.NOT_PROVEN, text, code="MTL055")


def live(probing: Probing) -> str:
    """Whether and how the wire was tried, in a few words."""
    if probing.skipped:
        return f"not run: {probing.skipped}"
    ports = "1 port" if len(probing.seen) == 1 else f"{len(probing.seen)} ports"
    tried = f"{ports} probed with {sum(map(len, probing.seen.values()))} connections"
    return f"{tried}; {probing.problem}" if probing.problem else tried


def by_port(probing: Probing) -> Mapping[tuple[Place, int], tuple[Seen, ...]]:
    """The answers by pod and port."""
    return {(target.pod, target.port): seen for target, seen in probing.seen.items()}


def _words(seen: Seen) -> str:
    return f" ({seen.words[:_MOST]})" if seen.words else ""
