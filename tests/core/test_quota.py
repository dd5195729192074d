"""What a quota is, what can be read as one, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import ConfigurationError, Quota
from ratelimit_core.quota import parse_duration

MINUTE_US = 60_000_000


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("60/m:10", Quota(60, MINUTE_US, 10)),
        ("1/s:1", Quota(1, 1_000_000, 1)),
        ("1000/h:50", Quota(1_000, 3_600_000_000, 50)),
        ("1/d:1", Quota(1, 86_400_000_000, 1)),
        ("5/30s:2", Quota(5, 30_000_000, 2)),
        (" 5 / 2h : 3 ", Quota(5, 7_200_000_000, 3)),
        ("100000/s:200000", Quota(100_000, 1_000_000, 200_000)),
    ],
)
def test_a_text_reads_as_the_quota_it_says(text: str, quota: Quota) -> None:
    assert Quota.parse(text) == quota


def test_the_burst_is_given_in_the_text_or_beside_it() -> None:
    assert Quota.parse("60/m", burst=10) == Quota.parse("60/m:10") == Quota.parse("60/m:10", burst=10)


@given(st.integers(1, 100), st.integers(1, 59), st.sampled_from("smhd"), st.integers(1, 400))
def test_what_is_written_is_what_is_read(rate: int, count: int, unit: str, burst: int) -> None:
    quota = Quota.parse(f"{rate}/{count}{unit}:{burst}")
    assert (quota.rate, quota.burst) == (rate, burst)
    assert quota.period_us == count * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit] * 1_000_000


@pytest.mark.parametrize(
    "text",
    ["10/month", "10/min", "60", "60/m:", "/m:1", "60/:1", "-1/m:1", "1.5/m:1", "60/m:-1", "60/m:1.5", "", "60/m:10 x",
     "٦٠/m:10", "60/w:1", "6" * 16 + "/m:1", "60m:1", "60/m\n:10;"],
)  # fmt: skip
def test_what_it_can_not_read_it_refuses(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Quota.parse(text)
    assert caught.value.value == text
    assert "write rate/period:burst, such as '60/m:10'" in caught.value.accepted


@pytest.mark.parametrize("value", [None, 60, 6.0, b"60/m:10", ["60/m:10"]])
def test_what_is_no_text_it_refuses(value: object) -> None:
    with pytest.raises(ConfigurationError, match="write rate/period:burst"):
        Quota.parse(value)  # type: ignore[arg-type]  # on purpose


def test_a_burst_is_required_and_given_once() -> None:
    with pytest.raises(ConfigurationError, match="a burst is required"):
        Quota.parse("60/m")
    with pytest.raises(ConfigurationError, match=r"given twice, here and as burst = 20"):
        Quota.parse("60/m:10", burst=20)


@pytest.mark.parametrize("field", ["rate", "period_us", "burst"])
@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_a_number_that_is_not_a_whole_one_from_1_is_refused_by_name(field: str, value: object) -> None:
    numbers: dict[str, object] = {"rate": 1, "period_us": 1_000_000, "burst": 1, field: value}
    with pytest.raises(ConfigurationError) as caught:
        Quota(**numbers)  # type: ignore[arg-type]  # on purpose
    assert str(caught.value) == f"quota {field} = {value!r} can't be used: a whole number, at least 1"


@pytest.mark.parametrize("text", ["0/m:1", "60/m:0", "60/0s:1"])
def test_a_zero_anywhere_is_refused(text: str) -> None:
    """A rate of 0 was a division by zero, and a 500, in the original of this design."""
    with pytest.raises(ConfigurationError, match="= 0 can't be used: a whole number, at least 1"):
        Quota.parse(text)


@pytest.mark.parametrize(
    ("quota", "reason"),
    [
        ((1_000_001, 1_000_000, 1), "at most one unit per microsecond"),
        ((700_000, 1_000_000, 1), "more than 1 %"),
        ((1, 86_400_000_000, 26_063), "under 2\\^51 microseconds"),
        ((1, 1 << 51, 1), "under 2\\^51 microseconds"),
    ],
)
def test_what_integer_microseconds_can_not_keep_is_refused(quota: tuple[int, int, int], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Quota(*quota)


@pytest.mark.parametrize("quota", [(1_000_000, 1_000_000, 1), (1, (1 << 51) - 1, 1), (1, 86_400_000_000, 26_062)])
def test_the_last_that_can_be_kept_is_accepted(quota: tuple[int, int, int]) -> None:
    assert Quota(*quota).tolerance_us < 1 << 51


@given(st.integers(1, 100_000), st.integers(1, 10**12))
def test_the_interval_never_gives_more_than_the_rate_and_at_most_one_per_cent_less(rate: int, period_us: int) -> None:
    try:
        interval_us = Quota(rate, period_us, 1).interval_us
    except ConfigurationError:
        assert rate > period_us or -(-period_us // rate) * rate * 100 > period_us * 101
        return
    assert period_us * 100 <= interval_us * rate * 100 <= period_us * 101


def test_interval_and_tolerance_round_up() -> None:
    quota = Quota(7, 1_000_000, 3)
    assert (quota.interval_us, quota.tolerance_us) == (142_858, 428_574)


@pytest.mark.parametrize(
    ("quota", "label"),
    [
        (Quota.parse("60/m:10"), "60s"),
        (Quota.parse("1000/h:50"), "3600s"),
        (Quota(1, 1_500_000, 1), "1500ms"),
        (Quota(1, 1_500, 1), "1500us"),
        (Quota.parse("60/m:10", name="slow"), "slow"),
    ],
)
def test_a_quota_is_named_by_its_period_or_explicitly(quota: Quota, label: str) -> None:
    assert quota.label == label


def test_a_quota_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        Quota.parse("60/m:10").burst = 20  # type: ignore[misc]  # on purpose


@pytest.mark.parametrize("text", ["60/m:10", "5/30s:1", "1000/h:50", "1/d:1", "7/2d:3", "100/s:100"])
def test_a_quota_is_written_as_it_is_read(text: str) -> None:
    assert str(Quota.parse(text)) == text


def test_a_period_that_only_code_can_say_is_written_in_microseconds() -> None:
    assert str(Quota(1, 1_500_000, 2)) == "1/1500000us:2"


@pytest.mark.parametrize("name", ["", "Slow", "a b", "a#b", "x" * 33, "_a", "a|b", "~"])
def test_a_name_that_would_not_fit_a_key_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"quota name = .* can't be used: lower-case letters"):
        Quota.parse("60/m:10", name=name)


@pytest.mark.parametrize(
    ("value", "us"),
    [("500ms", 500_000), ("30s", 30_000_000), ("15m", 900_000_000), ("24h", 86_400_000_000), ("7d", 604_800_000_000),
     ("30", 30_000_000), (30, 30_000_000), (0.5, 500_000), (0, 0), (" 2 h ", 7_200_000_000)],
)  # fmt: skip
def test_a_duration_reads_as_microseconds(value: object, us: int) -> None:
    assert parse_duration(value, "lease_ttl") == us


@pytest.mark.parametrize("value", ["1w", "", "-1s", -1, True, None, float("nan"), float("inf"), 1e300, "1.5s", []])
def test_a_duration_that_can_not_be_read_names_its_setting(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^lease_ttl = .* can't be used: write '500ms', '30s'"):
        parse_duration(value, "lease_ttl")
