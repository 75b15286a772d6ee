"""JSON Patch (RFC 6902) over a tree in which every value knows where it was written; no library keeps that."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.config.source import MAX_DEPTH, MAX_NODES
from meshinstall.model.values import KeyPath, Origin

_INDEX = re.compile(r"0|[1-9][0-9]{0,6}")
_ESCAPE = re.compile(r"~(?![01])")


@dataclass(slots=True)
class Node:
    """A value: a map or a list of nodes, or what neither of them is."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; ``value`` is of test, add and replace, ``start`` of move and copy. Its places are those in the patch file."""

    op: str
    path: KeyPath
    value: Node | None = None
    start: KeyPath = ()


class PatchError(ValueError):
    """An operation cannot be done; ``at`` is where the value that is in the way was written."""

    def __init__(self, text: str, at: Origin | None = None) -> None:
        super().__init__(text)
        self.at = at


def grow(value: Any, where: Callable[[KeyPath], Origin], path: KeyPath = ()) -> Node:
    """The tree of a value."""
    if isinstance(value, dict):
        return Node({key: grow(inner, where, (*path, key)) for key, inner in value.items()}, where(path))
    if isinstance(value, list):
        return Node([grow(inner, where, (*path, str(index))) for index, inner in enumerate(value)], where(path))
    return Node(value, where(path))


def bare(node: Node) -> Any:
    """The value without places."""
    if isinstance(node.value, dict):
        return {key: bare(inner) for key, inner in node.value.items()}
    return [bare(inner) for inner in node.value] if isinstance(node.value, list) else node.value


def places(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Origin]]:
    """Where each value of the tree was written."""
    yield path, node.origin
    inner = node.value.items() if isinstance(node.value, dict) else enumerate(node.value) if isinstance(node.value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, str(key)))


def node_at(root: Node, path: KeyPath) -> Node | None:
    """The node at a path; None where there is none."""
    for key in path:
        inner = root.value
        found = inner.get(key) if isinstance(inner, dict) else inner[int(key)] if _has_index(inner, key) else None
        if found is None:
            return None
        root = found
    return root


def _has_index(inner: Any, key: str) -> bool:
    return isinstance(inner, list) and bool(_INDEX.fullmatch(key)) and int(key) < len(inner)


def pointer(text: str) -> KeyPath:
    """The path of a JSON pointer below the whole (RFC 6901); raises PatchError."""
    if not text.startswith("/"):
        raise PatchError("must be a JSON pointer such as /spec/rules/0")
    if _ESCAPE.search(text):
        raise PatchError("has a ~ that is neither ~0 nor ~1")
    if text.count("/") > MAX_DEPTH:
        raise PatchError(f"has more than {MAX_DEPTH} levels")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def run(root: Node, operation: Operation) -> None:
    """Do one operation; raises PatchError, and the tree is then as it was."""
    path, value = operation.path, operation.value
    match operation.op:
        case "test" if value is not None:
            _test(root, path, value)
        case "add" if value is not None:
            _add(root, path, copied(value))
        case "replace" if value is not None:
            _existing(root, path)
            _take(root, path)
            _add(root, path, copied(value))
        case "remove":
            _existing(root, path)
            _take(root, path)
        case "move" | "copy":
            _carry(root, operation)
        case _:
            raise PatchError(f"{operation.op} lacks a value")


def _carry(root: Node, operation: Operation) -> None:
    start, path = operation.start, operation.path
    node = _existing(root, start)
    if operation.op == "copy":
        # Each copy of a copy doubles what is there.
        if _size(root) + _size(node) > MAX_NODES or _depth(node) + len(path) > 2 * MAX_DEPTH:
            raise PatchError(f"makes more than {MAX_NODES} values, or nests them too deep")
        _add(root, path, copied(node))
        return
    before = copied(root)
    _take(root, start)
    try:
        _add(root, path, node)
    except PatchError:
        root.value = before.value
        raise


def _test(root: Node, path: KeyPath, value: Node) -> None:
    node = node_at(root, path)
    if node is None:
        raise PatchError("there is nothing here", _nearest(root, path))
    if not same(bare(node), bare(value)):
        raise PatchError("has another value here", node.origin)


def _existing(root: Node, path: KeyPath) -> Node:
    node = node_at(root, path)
    if node is None:
        raise PatchError("there is nothing here", _nearest(root, path))
    return node


def _nearest(root: Node, path: KeyPath) -> Origin:
    return next(node.origin for end in range(len(path), -1, -1) if (node := node_at(root, path[:end])))


def _take(root: Node, path: KeyPath) -> None:
    inner = _existing(root, path[:-1]).value
    del inner[path[-1] if isinstance(inner, dict) else int(path[-1])]


def _add(root: Node, path: KeyPath, node: Node) -> None:
    parent = _existing(root, path[:-1])
    inner, key = parent.value, path[-1]
    if isinstance(inner, dict):
        inner[key] = node
    elif not isinstance(inner, list):
        raise PatchError("is in a value that is neither a map nor a list", parent.origin)
    elif key == "-":
        inner.append(node)
    elif _INDEX.fullmatch(key) and int(key) <= len(inner):
        inner.insert(int(key), node)
    else:
        raise PatchError(f"the list has {len(inner)} items", parent.origin)


def _inner(node: Node) -> Iterable[Node]:
    return node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()


def _size(node: Node) -> int:
    return 1 + sum(map(_size, _inner(node)))


def _depth(node: Node) -> int:
    return 1 + max(map(_depth, _inner(node)), default=0)


def copied(node: Node) -> Node:
    """The same, to be changed by itself."""
    if isinstance(node.value, dict):
        return Node({key: copied(one) for key, one in node.value.items()}, node.origin)
    return Node([copied(one) for one in node.value], node.origin) if isinstance(node.value, list) else Node(node.value, node.origin)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: true is not 1, and 1 is 1.0."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(isinstance(one, bool) == isinstance(other, bool) and one == other)
