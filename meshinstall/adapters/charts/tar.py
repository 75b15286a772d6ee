"""Walks through a tar archive as Go's archive/tar does, and takes from it only what a chart needs: files, folders and long names.

Not Python's tarfile: it calls itself for each extended header, reads as much as a header says, and seeks as far as a size says,
which a header of 512 bytes can put beyond any end (CVE-2024-6232, CVE-2025-8194). POSIX.1-1988 (ustar), POSIX.1-2001 (pax), GNU tar.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

_BLOCK = 512
_NAME, _SIZE, _SUM, _TYPE, _MAGIC, _PREFIX = (
    slice(0, 100),
    slice(124, 136),
    slice(148, 156),
    slice(156, 157),
    slice(257, 263),
    slice(345, 500),
)
_USTAR = b"ustar\0"
# Bytes of an extended header; names have at most 4,096 on any system.
_MAX_EXTENDED = 64 * 1024
_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"


class Kind(Enum):
    """What a member is."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"


# A type of zero is a file in archives older than POSIX.
_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"5": Kind.FOLDER}


@dataclass(frozen=True, slots=True)
class Member:
    """One member with its path as the archive writes it; ``data`` is empty for everything but a file."""

    path: str
    kind: Kind
    data: bytes = b""


def members(read: Callable[[int], bytes], largest: int) -> Iterator[Member]:
    """The members of an archive that ``read`` gives the bytes of, of an uncompressed stream.

    Raises ValueError when the archive is not valid, and TooLargeError, which is one, for a file of more than ``largest`` bytes.
    What is neither a file nor a folder has to be the last member that is taken: the size in its header means nothing.
    """
    long_name = ""
    pax: dict[str, str] = {}
    while header := _header(read):
        kind, size = header[_TYPE], _octal(header[_SIZE])
        if kind in {_PAX, _GLOBAL, _LONG_NAME, _LONG_LINK}:
            if size > _MAX_EXTENDED:
                raise ValueError(f"an extended header has more than {_MAX_EXTENDED // 1024} KiB")
            data = _data(read, size, "an extended header")
            if kind == _PAX:
                pax = _records(data)
            elif kind == _LONG_NAME:
                long_name = _text(data)
            continue
        path = pax.get("path") or long_name or _name(header)
        found = Kind.OTHER if _is_sparse(pax) else _KINDS.get(kind, Kind.OTHER)
        if found is Kind.FILE and path.endswith("/"):
            found = Kind.FOLDER
        if "size" in pax:
            size = _decimal(pax["size"])
        if found is Kind.FILE and size > largest:
            raise TooLargeError(path)
        yield Member(path, found, _data(read, size, path) if found is Kind.FILE else b"")
        long_name, pax = "", {}


class TooLargeError(ValueError):
    """A file of the archive has more bytes than may be."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} is too large")
        self.path = path


def _header(read: Callable[[int], bytes]) -> bytes:
    """The next header; empty at the end, which two blocks of zeros mark, or that of the stream."""
    block = read(_BLOCK)
    if not block.strip(b"\0"):
        if len(block) % _BLOCK or read(_BLOCK).strip(b"\0"):
            raise ValueError("the archive does not end with two blocks of zeros")
        return b""
    if len(block) < _BLOCK:
        raise EOFError("the archive ends in the middle of a header")
    stated = _octal(block[_SUM])
    rest = block[: _SUM.start] + b" " * 8 + block[_SUM.stop :]
    # Some old programs added the bytes as numbers with a sign.
    if stated != sum(rest) and stated != sum(byte - 256 if byte > 127 else byte for byte in rest):  # noqa: PLR2004 - slow
        raise ValueError("the checksum of a header is wrong")
    return block


def _data(read: Callable[[int], bytes], size: int, called: str) -> bytes:
    """The content of a member, which fills whole blocks."""
    data = read(-(-size // _BLOCK) * _BLOCK)
    if len(data) < size:
        raise EOFError(f"the archive ends in the middle of {called}")
    return data[:size]


def _octal(field: bytes) -> int:
    """A number of a header; GNU's way to write larger ones than 8 GiB is refused with them."""
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise ValueError("a header has a number that is not octal")
    return int(digits or b"0", 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):  # noqa: PLR2004 - digits of 64 bits
        raise ValueError("a header has a size that is not a number")
    return int(text)


def _name(header: bytes) -> str:
    name = _text(header[_NAME])
    prefix = _text(header[_PREFIX]) if header[_MAGIC] == _USTAR else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    # Names need not be UTF-8: Linux knows bytes.
    return field.partition(b"\0")[0].decode(errors="surrogateescape")


def _records(data: bytes) -> dict[str, str]:
    """What an extended header says: ``LENGTH KEY=VALUE`` and a newline, the length of all of it."""
    found: dict[str, str] = {}
    while data:
        digits = data[:6].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if not (equals and key) or data[length - 1 : length] != b"\n" or b"\0" in key + value:
            raise ValueError("an extended header is not valid")
        found[key.decode(errors="replace")] = value.decode(errors="surrogateescape")
        data = data[length:]
    return found


def _is_sparse(pax: dict[str, str]) -> bool:
    return any(key.startswith("GNU.sparse.") for key in pax)
