"""Reads the pages of a collection, which an aggregated API may have made: https://kubernetes.io/docs/reference/using-api/api-concepts/."""

from collections.abc import Mapping, Sequence
from typing import Any

from meshinstall.errors import ClusterError
from meshinstall.model.release import Manifest

_HINT = "find out which API answers: kubectl get apiservices"


def items(page: Mapping[str, Any], path: str) -> Sequence[Manifest]:
    """The objects of a page; raises ClusterError when it does not have the shape of one."""
    found = page.get("items") or ()
    if not isinstance(found, list | tuple) or not all(isinstance(one, dict) for one in found):
        raise ClusterError(f"the answer to a list of {path} has items that are not objects", _HINT)
    return found


def following(page: Mapping[str, Any], path: str, before: str) -> str:
    """The token for the page after this one, empty after the last; raises ClusterError for the one ``before``: it would never end."""
    metadata = page.get("metadata")
    token = (metadata.get("continue") if isinstance(metadata, dict) else "") or ""
    if not isinstance(token, str) or (token and token == before):
        raise ClusterError(f"the answer to a list of {path} does not lead to a next page, although it says that there is one", _HINT)
    return token
