"""What if, and what a switch would do: the numbers of the samples, labelled with their share."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ratelimit_gcra.dashboard.effect import killed, named, sentences
from django_ratelimit_gcra.dashboard.whatif import bursts, label
from django_ratelimit_gcra.models import ArrivalSample
from django_ratelimit_gcra.recording.packing import pack
from django_ratelimit_gcra.shadow import WhatIf
from ratelimit_core import Bucket, Mode, Quota
from ratelimit_core.config import Policy, Source
from tests.django.dashboard.conftest import PLACE, Staff

WHAT_IF = f"{PLACE}bucket/read/what-if/"
ADVICE = f"{PLACE}bucket/read/advice/"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def arrive(share: float = 1.0, hours_ago: int = 1) -> None:
    """Ten people with three requests at once each, one with thirty; an hour ago."""
    minute = (datetime.now(UTC) - timedelta(hours=hours_ago)).replace(second=0, microsecond=0)
    at_us = int(minute.timestamp()) * 1_000_000
    visits = {bytes([0, *[number] * 7]): [(at_us, 1)] * (30 if number == 0 else 3) for number in range(11)}
    data = pack(visits)
    ArrivalSample.objects.create(minute=minute, bucket="read", share=share, arrivals=60, data=data)


def counts(page: str) -> list[tuple[str, str]]:
    return re.findall(r'<dd>([\d,]+)</dd><dd class="rl-note">of ([\d,]+)</dd>', page)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "identities", "requests"),
    [("", "1", "20"), ("burst_0=30", "0", "0"), ("burst_0=2", "11", "38"), ("burst_0=29&rate_0=60/m", "1", "1")],
)
def test_the_samples_are_counted(staff: Staff, query: str, identities: str, requests: str) -> None:
    arrive()
    page = staff().get(f"{WHAT_IF}?{query}").content.decode()
    assert counts(page) == [(identities, "11"), (requests, "60")]
    assert "Counted: everybody" in page
    assert page.count('role="img"') == 1


@pytest.mark.django_db
def test_an_estimate_is_labelled_with_its_share(staff: Staff) -> None:
    arrive(share=0.25)
    page = staff().get(WHAT_IF).content.decode()
    assert counts(page) == [("4", "44"), ("80", "240")]
    assert "Estimated from 25 % of all identities." in page
    shown = staff("switch_policy").get(f"{PLACE}bucket/read/switch/?mode=enforce").content.decode()
    assert "About 80 of 240 requests by 4 of 44 identities would have been refused." in shown
    assert "Estimated from 25 % of all identities." in shown


@pytest.mark.django_db
def test_one_looks_as_far_back_as_one_likes(staff: Staff) -> None:
    arrive(hours_ago=30)
    client = staff()
    assert "No arrivals were recorded" in client.get(WHAT_IF).content.decode()
    assert counts(client.get(f"{WHAT_IF}?hours=48").content.decode())[0] == ("1", "11")


@pytest.mark.django_db
def test_a_suggestion_says_what_it_cuts_and_leads_to_itself(staff: Staff) -> None:
    arrive()
    page = staff().get(ADVICE).content.decode()
    link = re.search(r"<strong>Suggested:</strong> (\S+) touches (\d+) of 11 recorded .* href=\"([^\"]+)\"", page)
    assert link is not None
    quota = Quota.parse(link[1])
    looked_at = staff().get(link[3].replace("&amp;", "&")).content.decode()
    assert f'name="burst_0" value="{quota.burst}"' in looked_at
    assert counts(looked_at)[0] == (link[2], "11")


@pytest.mark.django_db
def test_who_would_be_refused_is_for_those_who_may_see_it(staff: Staff) -> None:
    arrive()
    assert "Who would be refused most" not in staff().get(ADVICE).content.decode()
    assert "Who would be refused most" in staff("view_identities").get(ADVICE).content.decode()


@pytest.mark.django_db
def test_nothing_recorded_suggests_nothing(staff: Staff) -> None:
    page = staff().get(ADVICE).content.decode()
    assert "Suggested" not in page


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["rate_0=x", "burst_0=0", "burst_0=", "hours=7", f"rate_0={10**15}/s"])
def test_what_can_not_be_tried_is_said(staff: Staff, query: str) -> None:
    for place in (WHAT_IF, ADVICE):
        page = staff().get(f"{place}?{query}").content.decode()
        assert 'class="errorlist"' in page
        assert counts(page) == []


@pytest.mark.django_db
def test_several_quotas_are_tried_together(staff: Staff, settings: object) -> None:
    settings.RATE_LIMIT_BUCKETS = {"read": {"quotas": ["60/m:40", "50/h:2"]}}  # type: ignore[attr-defined]  # pytest's
    arrive()
    page = staff().get(WHAT_IF).content.decode()
    assert counts(page) == [("11", "11"), ("38", "60")]
    assert "Rate 2" in page


# --- the words


def policy(mode: Mode, quota: str = "60/m:10", percent: float = 0) -> Policy:
    return Policy(Bucket("read", quota=quota, mode=mode, canary_percent=percent), mode, Source.BUCKET)


def found(requests: int = 4_000, refused: int = 120, touched: int = 3, share: float = 1.0) -> WhatIf:
    return WhatIf((Quota.parse("60/m:10"),), NOW, NOW, requests, 1_204, refused, touched, share, ())


SHADOWED, ENFORCED, OFF = policy(Mode.SHADOW), policy(Mode.ENFORCE), policy(Mode.OFF)
SOME = "120 of 4,000 requests by 3 of 1,204 identities"


@pytest.mark.parametrize(
    ("before", "after", "now", "words"),
    [
        (
            SHADOWED,
            ENFORCED,
            found(),
            [
                "read goes from shadow to enforce.",
                f"{SOME} would have been refused.",
                "That is 0.2 % of the identities.",
            ],
        ),
        (
            ENFORCED,
            SHADOWED,
            found(),
            [
                "read goes from enforce to shadow.",
                f"Nobody is refused; {SOME} would be recorded as such.",
                f"Until now {SOME} would have been refused.",
            ],
        ),
        (
            ENFORCED,
            OFF,
            found(refused=0, touched=0),
            [
                "read goes from enforce to off.",
                "Nothing is limited, and nothing is recorded as refused any more.",
                "Until now nobody's requests would have been refused.",
            ],
        ),
        (
            ENFORCED,
            policy(Mode.ENFORCE, "60/m:20"),
            found(share=0.5),
            [
                "read goes from 60/m:10 to 60/m:20.",
                f"About {SOME} would have been refused.",
                f"With the present quotas it is about {SOME}.",
            ],
        ),
        (
            SHADOWED,
            policy(Mode.CANARY, percent=10),
            found(),
            [
                "read goes from shadow to canary 10 %.",
                f"{SOME} exceed the limit; the requests of 10 % of these identities would have been refused.",
                "That is 0.2 % of the identities.",
            ],
        ),
        (
            SHADOWED,
            ENFORCED,
            found(requests=0),
            [
                "read goes from shadow to enforce.",
                "Nothing was recorded that this could be tried on: its effect is not known.",
            ],
        ),
        (
            SHADOWED,
            SHADOWED,
            found(requests=0),
            ["read stays as it is.", "Nothing was recorded that this could be tried on: its effect is not known."],
        ),
    ],
)
def test_a_change_is_told_in_words(before: Policy, after: Policy, now: WhatIf, words: Sequence[str]) -> None:
    assert list(sentences(before, after, now, now)) == words


def test_the_kill_switch_is_told_in_words() -> None:
    assert list(killed([], [], 0)) == ["No bucket refuses anybody at present."]
    assert list(killed(["write"], [], 1)) == [
        "Nobody is refused any more by write: 1 request in the last 24 hours.",
    ]
    assert [named(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_a_label_says_how_sure_one_can_be() -> None:
    assert label(found(requests=0)) == ""
    assert label(found(share=0.03125)) == "Estimated from 3.1 % of all identities."


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=3))
def test_a_curve_holds_what_is_looked_at_and_few_bursts_beside(wanted: list[int]) -> None:
    chosen = bursts(*wanted)
    assert set(wanted) <= set(chosen)
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= 20
