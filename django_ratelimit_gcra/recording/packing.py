"""Arrivals in a row: columns of integers, compressed.

A version byte, then with zlib: how many identities, the moment from which times count, and four columns: each
identity's hash (8 bytes), how many arrivals it has, the times and the costs of all. Integers are little-endian.
"""

import struct
import sys
import zlib
from array import array
from collections.abc import Iterator, Mapping
from itertools import chain

VERSION = b"\x01"
HASH_BYTES = 8
_HEAD = struct.Struct("<IQ")
_COUNT, _NUMBER = "I", "Q"

Visits = Mapping[bytes, list[tuple[int, int]]]
"""By identity's hash: when (epoch microseconds), at what cost."""


def pack(visits: Visits) -> bytes:
    """Pack the arrivals of a minute."""
    every = list(chain.from_iterable(visits.values()))
    base = min((at_us for at_us, _ in every), default=0)
    columns = (
        _bytes(array(_COUNT, map(len, visits.values()))),
        _bytes(array(_NUMBER, (at_us - base for at_us, _ in every))),
        _bytes(array(_NUMBER, (cost for _, cost in every))),
    )
    return VERSION + zlib.compress(_HEAD.pack(len(visits), base) + b"".join(visits) + b"".join(columns), 6)


def unpack(data: bytes) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
    """The identities of a row with their arrivals; raises ValueError for anything that `pack` did not make."""
    if data[:1] != VERSION:
        raise ValueError(f"arrivals of version {data[:1]!r}; this one reads {VERSION!r}")
    try:
        plain = zlib.decompress(data[1:])
        number, base = _HEAD.unpack_from(plain)
        at = _HEAD.size + HASH_BYTES * number
        hashes = [plain[start : start + HASH_BYTES] for start in range(_HEAD.size, at, HASH_BYTES)]
        counts = _integers(_COUNT, plain[at : at + 4 * number])
        at += 4 * number
        middle = at + 8 * sum(counts)
        times, costs = _integers(_NUMBER, plain[at:middle]), _integers(_NUMBER, plain[middle:])
        first = 0
        for identity, count in zip(hashes, counts, strict=True):
            last = first + count
            moments = (base + after_us for after_us in times[first:last])
            yield identity, list(zip(moments, costs[first:last], strict=True))
            first = last
    except (zlib.error, struct.error) as error:
        raise ValueError(f"no packed arrivals ({error})") from error


def _bytes(column: "array[int]") -> bytes:
    if sys.byteorder == "big":  # pragma: no cover - no such machine at hand
        column.byteswap()
    return column.tobytes()


def _integers(kind: str, column: bytes) -> "array[int]":
    integers = array(kind)
    integers.frombytes(column)
    if sys.byteorder == "big":  # pragma: no cover - no such machine at hand
        integers.byteswap()
    return integers
