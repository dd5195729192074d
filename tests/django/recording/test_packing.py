"""Arrivals in a row: what is packed comes out, and what is no row says so."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ratelimit_gcra.recording.packing import HASH_BYTES, VERSION, pack, unpack

numbers = st.integers(0, (1 << 63) - 1)
visits = st.dictionaries(
    st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES), st.lists(st.tuples(numbers, numbers), min_size=1), max_size=5
)


@given(visits)
def test_what_is_packed_comes_out(packed: dict[bytes, list[tuple[int, int]]]) -> None:
    assert dict(unpack(pack(packed))) == packed


def test_an_arrival_takes_a_few_bytes() -> None:
    everybody = {
        number.to_bytes(8, "big"): [(1_800_000_000_000_000 + number * 7_919 + at * 299_999, 1) for at in range(100)]
        for number in range(20)
    }
    assert len(pack(everybody)) < 2_000 * 6


@pytest.mark.parametrize(
    "data",
    [b"", b"\x02abc", VERSION, VERSION + b"junk", VERSION + zlib.compress(b"x"), pack({b"12345678": [(1, 1)]})[:-4]],
)
def test_what_is_no_row_says_so(data: bytes) -> None:
    with pytest.raises(ValueError, match="arrivals"):
        list(unpack(data))


def test_a_row_whose_columns_disagree_says_so() -> None:
    whole = zlib.decompress(pack({b"12345678": [(1, 1), (2, 1)]})[1:])
    with pytest.raises(ValueError, match=r"zip|bytes|arrivals"):
        list(unpack(VERSION + zlib.compress(whole[:-8])))
