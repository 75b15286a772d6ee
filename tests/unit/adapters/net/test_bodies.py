"""Bodies that are too long or never end are left; others arrive whole."""

import io
import time

import pytest

from meshinstall.adapters.net.bodies import TooLongError, TooSlowError, read_pieces


def test_a_body_of_exactly_its_limit_arrives_whole() -> None:
    body = bytes(range(256)) * 1024
    assert b"".join(read_pieces(io.BytesIO(body).read1, len(body))) == body


def test_one_byte_more_is_too_many() -> None:
    with pytest.raises(TooLongError, match="more than 1 MiB"):
        b"".join(read_pieces(io.BytesIO(b"x" * (1024**2 + 1)).read1, 1024**2))


def test_an_endless_body_is_read_no_further_than_a_piece_beyond_its_limit() -> None:
    asked: list[int] = []

    def endless(size: int) -> bytes:
        asked.append(size)
        return b"x" * size

    with pytest.raises(TooLongError):
        b"".join(read_pieces(endless, 1024**2))
    assert 1024**2 < sum(asked) <= 1024**2 + max(asked)


def test_a_body_that_drips_is_left_at_its_end() -> None:
    asked: list[int] = []

    def drip(size: int) -> bytes:
        asked.append(size)
        return b"x"

    with pytest.raises(TooSlowError):
        b"".join(read_pieces(drip, 1024**2, time.monotonic()))
    assert len(asked) == 1
