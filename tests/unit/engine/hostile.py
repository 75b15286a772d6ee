"""JSON as somebody would send it who wants to see us fall."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """``document`` with up to three of its values gone, or turned into anything."""
    copy = deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(_places(copy)))
        if draw(st.booleans()):
            parent[key] = draw(_ANYTHING)
        elif isinstance(parent, dict):
            del parent[key]
        if not _places(copy):
            break
    return copy


def _places(value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]
