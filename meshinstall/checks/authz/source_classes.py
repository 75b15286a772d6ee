"""Classes of who calls: identities as trust domain, namespace and service account, and clients without one.

Source: as checks/authz/sources.py. What rules say of an identity follows from what each of its three parts meets.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, combinations, product

from meshinstall.checks.authz.classes import REST, Class, Patterns, TooManyError, filled
from meshinstall.checks.authz.conditions import PRINCIPAL, SERVICE_ACCOUNT, TRUST_DOMAIN, Test

# No name of Kubernetes begins or ends like this, and no rule is expected to name it.
_FILLER = "zq0qz"
_IDENTITY, _NOBODY = "an identity", "no identity"
# Patterns of namespaces with something between two *, and identities.
_MOST_MIDDLES, _MOST = 4, 5_000
_PARTS = 5


class _Parts:
    """Patterns of the three parts, each as texts.matching would read it; ``accounts`` and ``whole`` are written out."""

    def __init__(self) -> None:
        self.domains: list[str] = []
        self.namespaces: list[str] = []
        self.accounts: list[str] = []
        self.middles: list[str] = []
        self.pairs: list[tuple[str, str]] = []
        self.whole: list[str] = []

    def add(self, key: str, value: str) -> None:
        if key == PRINCIPAL:
            self._principal(value)
        elif key == SERVICE_ACCOUNT:
            namespace, _, name = value.partition("/")
            self.pairs.append((namespace, name))
        elif key == TRUST_DOMAIN:
            self.domains += _ends(value)
        else:
            self._namespace(value)

    def _principal(self, value: str) -> None:
        if value == REST:
            return
        if not value.startswith("*") and not value.endswith("*"):
            self.whole.append(value)
            return
        begins = not value.startswith("*")
        pieces = (value[:-1] if begins else value[1:]).split("/")
        # Counted from the other end of TRUST-DOMAIN/ns/NAMESPACE/sa/NAME.
        offset = 0 if begins else _PARTS - len(pieces)
        for index, piece in enumerate(pieces):
            is_cut = index == (len(pieces) - 1 if begins else 0)
            text = piece if not is_cut else f"{piece}*" if begins else f"*{piece}"
            target = {0: self.domains, 2: self.namespaces, 4: self.accounts}.get(index + offset)
            if target is not None and text != REST:
                target.append(text)

    def _namespace(self, value: str) -> None:
        if "/" in value:
            raise TooManyError(f"a namespace with a slash, {value}")
        first, *rest = value.split("*")
        if not rest:
            self.namespaces.append(value)
            return
        self.namespaces += [text for text in (f"{first}*", f"*{rest[-1]}") if text != REST]
        if any(rest[:-1]):
            self.middles.append(_FILLER.join(rest[:-1]))


def _ends(value: str) -> list[str]:
    """A pattern of a trust domain: what stands before its first *, and what after it."""
    first, star, rest = value.partition("*")
    return [text for text in (f"{first}*", f"*{rest}") if text != REST] if star else [value]


def sources(tests: Iterable[Test], domain: str) -> list[Class]:
    """Classes of identities, and of clients without one, which is last; ``domain`` is the mesh's own. Raises TooManyError."""
    parts = _Parts()
    for key, value in dict.fromkeys((test.key, value) for test in tests for value in test.values):
        parts.add(key, value)
    domains = list(_classes(parts.domains, (_FILLER,))) if parts.domains else []
    own = Class(domain, "", Patterns.of(parts.domains).met(domain))
    homes = [own, *(one for one in domains if one.value != domain)]
    namespaces = list(_classes(parts.namespaces, _fillers(parts.middles)))
    accounts = list(_classes(parts.accounts, (_FILLER,)))
    pairs = [(Class(a, a, frozenset({a})), Class(b, b, frozenset({b}))) for a, b in parts.pairs]
    if len(homes) * (len(namespaces) * len(accounts) + len(pairs)) > _MOST:
        raise TooManyError(f"more than {_MOST:,} identities that rules tell apart")
    made = (_identity(home, *pair) for home in homes for pair in chain(product(namespaces, accounts), pairs))
    found = {one.value: one for one in (*made, *(_whole(value, domain) for value in parts.whole))}
    return [*found.values(), Class("", _NOBODY, frozenset({_NOBODY}))]


def _fillers(middles: list[str]) -> tuple[str, ...]:
    """Texts between the ends of a namespace's name: any of what patterns name there, together."""
    if len(set(middles)) > _MOST_MIDDLES:
        raise TooManyError(f"more than {_MOST_MIDDLES} namespaces with something between two *")
    several = (some for size in range(len(middles) + 1) for some in combinations(dict.fromkeys(middles), size))
    return tuple(dict.fromkeys(_FILLER.join(("", *some, "")) if some else _FILLER for some in several))


def _classes(patterns: list[str], fillers: tuple[str, ...]) -> Iterator[Class]:
    found = Patterns.of(patterns)
    for filler in fillers:
        # A name with a filler of its own is narrower than its label: it is told by the filler.
        more = "" if filler == _FILLER else f" with {filler.replace(_FILLER, '*')}"
        for one in found.classes(filled((filler,))):
            yield Class(one.value, one.label + more, one.matched | ({more} if more else frozenset()))


def _identity(home: Class, namespace: Class, account: Class) -> Class:
    matched = (_marked("td", home), _marked("ns", namespace), _marked("sa", account))
    name = f"{namespace.label}/{account.label}"
    label = f"{home.label}/ns/{namespace.label}/sa/{account.label}" if home.label else name
    return Class(f"{home.value}/ns/{namespace.value}/sa/{account.value}", label, frozenset({_IDENTITY}).union(*matched))


def _marked(mark: str, one: Class) -> frozenset[str]:
    return frozenset(f"{mark} {text}" for text in one.matched)


def _whole(value: str, domain: str) -> Class:
    """An identity that a rule writes out, in short where it is one of the mesh."""
    parts = value.split("/")
    if len(parts) != _PARTS or parts[1] != "ns" or parts[3] != "sa":
        return Class(value, value, frozenset({_IDENTITY, value}))
    label = f"{parts[2]}/{parts[4]}" if parts[0] == domain else value
    return Class(value, label, frozenset({_IDENTITY, f"td {parts[0]}", f"ns {parts[2]}", f"sa {parts[4]}", value}))
