"""Axes: round numbers that hold what they must, shares that never say less or more than there is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ratelimit_gcra.dashboard.scales import compact, count_ticks, log_position, percent, share_ticks


@pytest.mark.parametrize(
    ("highest", "texts"),
    [
        (0, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (41, ["0", "20", "40", "60"]),
        (12_000, ["0", "5 k", "10 k", "15 k"]),
        (4e9, ["0", "1 G", "2 G", "3 G", "4 G"]),
    ],
)
def test_counts_have_round_whole_numbers(highest: float, texts: list[str]) -> None:
    assert [tick.text for tick in count_ticks(highest)[1]] == texts


@given(st.floats(min_value=0, max_value=1e18))
def test_an_axis_holds_what_it_must_with_few_marks(highest: float) -> None:
    top, ticks = count_ticks(highest)
    assert top >= highest * (1 - 1e-9)
    assert len(ticks) <= 5


@given(st.floats(min_value=0, max_value=1))
def test_an_axis_of_shares_never_passes_all(highest: float) -> None:
    top, ticks = share_ticks(highest)
    assert highest * (1 - 1e-6) <= top <= 1
    assert math.isclose(ticks[-1].at, 1)
    assert len(ticks) <= 6


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.00001, "< 0.01 %"),
        (0.0003, "0.03 %"),
        (0.001, "0.1 %"),
        (0.02, "2 %"),
        (0.025, "2.5 %"),
        (0.6, "60 %"),
        (0.9999, "> 99.9 %"),
        (1, "100 %"),
    ],
)
def test_a_share_that_is_there_never_reads_as_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def test_numbers_are_short() -> None:
    assert [compact(value) for value in (0, 7, 999, 12_500, 3_000_000)] == ["0", "7", "999", "12.5 k", "3 M"]


def test_doublings_are_equally_wide() -> None:
    assert [log_position(value, [1, 2, 4]) for value in (1, 2, 4)] == [0, 0.5, 1]
    assert log_position(3, [3]) == 0.5
