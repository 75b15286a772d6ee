"""tests/cases/rbac/asked.txt: what meshinstall asks of an API server, as the soak ``rbac`` sees it in the server's audit log."""

from collections.abc import Collection, Iterable
from pathlib import Path

from testbed.audit import Request

FILE = Path(__file__).parent / "rbac" / "asked.txt"
# Where, group, resource, verb. ``mesh`` is istio-system or a gateway's namespace, ``probe`` one of our own, ``trial``
# where objects are tried whose namespace is not there before the first install, ``any`` another one.
Asked = tuple[str, str, str, str]
# Kubernetes lets everybody ask these (system:basic-user).
_EVERYBODYS = {"authorization.k8s.io", "authentication.k8s.io"}
_OTHERS = {"default": "trial"}
_HEAD = "# Where, group, resource, verb: written by `scripts/test soak rbac`, by an API server's audit log.\n"


def asked(requests: Iterable[Request], mesh: Collection[str]) -> set[Asked]:
    """What was asked, without the names of objects; ``mesh`` are the namespaces of the mesh."""
    return {
        (_where(one, mesh), one.group or "core", one.resource, one.verb)
        for one in requests
        if one.resource and one.group not in _EVERYBODYS
    }


def _where(one: Request, mesh: Collection[str]) -> str:
    # The API server counts a namespace as one that is in itself.
    if not one.namespace or one.resource.startswith("namespaces"):
        return "cluster"
    if one.namespace in mesh:
        return "mesh"
    return "probe" if one.namespace.startswith("meshinstall-probe-") else _OTHERS.get(one.namespace, "any")


def written(found: Iterable[Asked]) -> str:
    """The text of the file."""
    return _HEAD + "".join(f"{' '.join(one)}\n" for one in sorted(found))


def read(text: str) -> set[Asked]:
    """What ``written`` wrote."""
    found = set()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            where, group, resource, verb = line.split()
            found.add((where, group, resource, verb))
    return found
