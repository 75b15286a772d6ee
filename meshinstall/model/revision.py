"""Names of revisions: a revision is a minor of Istio, and the name of istiod's release says which."""

import re

_MINOR = re.compile(r"(\d+)\.(\d+)(?:\.|$)")
_ISTIOD = "istiod"

# What an istiod without a revision calls itself (istio: its charts' label istio.io/rev).
DEFAULT_REVISION = "default"
# The tag of namespaces that say istio-injection=enabled, and name no revision.
DEFAULT_TAG = "default"


def revision_of(version: str) -> str:
    """``1-31`` of ``1.31.4`` and of ``1.31``; raises ValueError for what does not start as a version."""
    found = _MINOR.match(version)
    if not found:
        raise ValueError(f"{version!r} is not a version of Istio")
    return f"{found[1]}-{found[2]}"


def istiod_release(revision: str) -> str:
    """The Helm release of a revision's istiod: ``istiod`` of the empty one, ``istiod-1-31`` of ``1-31``."""
    return f"{_ISTIOD}-{revision}" if revision else _ISTIOD
