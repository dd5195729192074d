"""The sentence of readiness: what was observed, and why to enforce or not."""

import pytest

from django_ratelimit_gcra.shadow import readiness
from ratelimit_core import Config, ConfigurationError
from tests.django.shadow.rows import NOW, arrived, decisions

pytestmark = pytest.mark.django_db

DAY = 24 * 60


def configured(mode: str = "shadow", quota: str = "60/m:10") -> Config:
    return Config.default({"read": {"quotas": [quota], "mode": mode}})


def said(config: Config | None = None) -> tuple[bool, str]:
    return readiness("read", config or configured(), NOW)


def people(number: int, requests: int = 3) -> dict[str, list[int]]:
    return {f"user:{one}": [*range(requests)] for one in range(number)}


def loops(number: int) -> dict[str, list[int]]:
    return {f"ip:192.0.2.{one}": [second // 4 for second in range(200)] for one in range(number)}


def test_few_who_are_loops_are_no_reason_to_wait() -> None:
    decisions(2 * DAY, 1_000)
    arrived(people(1_202) | loops(2))
    assert said() == (
        True,
        "48 h observed, 2 of 1,204 identities would be refused, two of them by a loop; ready to enforce.",
    )


def test_one_in_more_than_a_thousand_may_be_touched() -> None:
    decisions(2 * DAY, 1_000)
    arrived(people(1_201) | {"user:-1": [0] * 12} | loops(2))
    assert said() == (
        True,
        "48 h observed, 3 of 1,204 identities would be refused, two of them by a loop; ready to enforce.",
    )


def test_more_are_too_many() -> None:
    decisions(2 * DAY, 1_000)
    arrived(people(98) | {"user:-1": [0] * 12, "user:-2": [0] * 11})
    assert said() == (
        False,
        "48 h observed, 2 of 100 identities would be refused; not ready: the limit is too low for too many.",
    )
    assert said(configured(quota="60/m:12"))[0]


def test_many_loops_are_a_limit_that_is_too_low() -> None:
    decisions(2 * DAY, 1_000)
    arrived(people(50) | loops(12))
    ready, sentence = said()
    assert not ready
    assert "loop" not in sentence


def test_among_few_identities_nobody_is_called_too_many() -> None:
    decisions(2 * DAY, 1_000)
    arrived(loops(1))
    assert said() == (
        False,
        (
            "48 h observed, 1 of 1 identity would be refused; "
            "not ready: among so few a loop can't be told from a limit that is too low."
        ),
    )


@pytest.mark.parametrize(("minutes", "time"), [(23 * 60 + 59, "23 h"), (59, "59 min"), (0, "1 min")])
def test_a_day_at_least_is_observed(minutes: int, time: str) -> None:
    decisions(minutes + (minutes == 0), 1_000)
    arrived(people(100))
    sentence = f"{time} observed, 0 of 100 identities would be refused; not ready: observe for 24 h at least."
    assert said() == (False, sentence)


def test_what_was_decided_without_the_store_proves_little() -> None:
    decisions(2 * DAY, 1_000, degraded=20)
    arrived(people(100))
    assert said() == (
        False,
        "48 h observed, 0 of 100 identities would be refused; not ready: 2 % was decided without the store.",
    )


def test_without_records_or_samples_nothing_is_known() -> None:
    assert said() == (False, "Nothing was recorded in the last 48 h; not ready.")
    decisions(2 * DAY, 1_000)
    assert said() == (False, "48 h observed, but without arrival samples; not ready.")


def test_in_the_first_minutes_samples_are_only_not_there_yet() -> None:
    decisions(2, 1_000)
    assert said() == (False, "2 min observed, but without arrival samples yet; not ready.")


def test_an_enforced_bucket_is_never_called_not_ready() -> None:
    decisions(2 * DAY, 1_000)
    arrived(people(98) | {"user:-1": [0] * 12, "user:-2": [0] * 11})
    assert said(configured("enforce")) == (
        False,
        "48 h observed, 2 of 100 identities would be refused; enforced already; the limit is too low for too many.",
    )


def test_a_bucket_that_is_off_or_enforced_says_so() -> None:
    assert said(configured("off")) == (False, "Off: nothing is observed.")
    decisions(DAY, 1_000)
    arrived(people(100))
    assert said(configured("enforce")) == (
        True,
        "24 h observed, 0 of 100 identities would be refused; enforced already.",
    )


def test_estimates_say_so() -> None:
    decisions(2 * DAY, 1_000)
    arrived(people(4_000, requests=1), share=0.25)
    ready, sentence = said()
    assert ready
    assert sentence.endswith("identities would be refused (estimated from 25 % of them); ready to enforce.")


def test_an_unknown_bucket_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        readiness("nobody", configured())
