"""What other quotas would have done: counts, shares and names from recorded arrivals."""

from datetime import timedelta

import pytest

from django_ratelimit_gcra.models import ArrivalSample
from django_ratelimit_gcra.recording.names import hash_key, hashed, keyed_hash, sample_name
from django_ratelimit_gcra.recording.sampling import WHOLE
from django_ratelimit_gcra.shadow import Share, arrivals, curve, said, suggestion, what_if
from ratelimit_core import Quota
from ratelimit_core.simulate import Arrival
from tests.django.shadow.rows import NOW, NOW_US, SECOND_US, arrived, identity

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
STRICT = Quota.parse("1/h:2")


def share_of(name: str) -> float:
    """Where in all shares an identity lies."""
    return int(sample_name(name), 16) / WHOLE


def test_arrivals_come_in_order_of_time_from_all_rows_of_the_span() -> None:
    arrived({"user:1": [0, 30], "user:2": [10]}, seconds_ago=120)
    arrived({"user:2": [5]}, seconds_ago=120)
    arrived({"user:1": [0]}, seconds_ago=3600 + 30)
    arrived({"user:1": [0]}, seconds_ago=60, bucket="write")
    found = arrivals("read", NOW - HOUR, NOW)
    one, two = sample_name("user:1"), sample_name("user:2")
    began_us = NOW_US - 120 * SECOND_US
    assert [(at_us - began_us, name) for at_us, name, _ in found.arrivals] == [
        (0, one),
        (5 * SECOND_US, two),
        (10 * SECOND_US, two),
        (30 * SECOND_US, one),
    ]
    assert found.share == 1.0


def test_the_smallest_share_of_all_rows_is_that_of_all() -> None:
    users = [f"user:{number}" for number in range(200)]
    arrived({user: [0] for user in users}, seconds_ago=120)
    arrived({user: [0] for user in users if share_of(user) < 0.25}, share=0.25)
    found = arrivals("read", NOW - HOUR, NOW)
    assert found.share == 0.25
    expected = sorted(sample_name(user) for user in users if share_of(user) < 0.25)
    assert sorted(one.identity for one in found.arrivals) == sorted(expected * 2)


def test_of_too_many_arrivals_a_smaller_share_is_read_each_identity_with_all_of_its_own() -> None:
    users = [f"user:{number}" for number in range(400)]
    arrived({user: [0, 1, 2] for user in users})
    found = arrivals("read", NOW - HOUR, NOW, most=400)
    assert found.share == 0.25
    assert {one.identity for one in found.arrivals} == {sample_name(user) for user in users if share_of(user) < 0.25}
    assert len(found.arrivals) == 3 * len({one.identity for one in found.arrivals})


def test_rows_that_cannot_be_read_are_left_out() -> None:
    arrived({"user:1": [0]})
    ArrivalSample.objects.create(minute=NOW - HOUR / 2, bucket="read", share=1.0, arrivals=1, data=b"from elsewhere")
    assert len(arrivals("read", NOW - HOUR, NOW).arrivals) == 1


def test_a_what_if_counts_requests_and_identities_and_names_those_that_were_refused_before() -> None:
    arrived({"user:1": [0, 1, 2, 3, 4], "user:2": [0, 1, 2], "user:3": [0]})
    identity("user:1", 1)
    made = what_if("read", [STRICT], NOW - HOUR, NOW)
    assert (made.requests, made.identities, made.refused, made.touched) == (9, 3, 4, 2)
    assert made.worst == [Share("user:1", 3, 0.75, 5), Share(f"~{sample_name('user:2')}", 1, 0.25, 3)]
    assert not made.estimated
    assert made.sentence == "1/h:2 would refuse 4 of 9 requests and touch 2 of 3 identities."


def test_hashed_identities_are_found_by_their_hash() -> None:
    arrived({"user:1": [0, 1, 2]})
    name = hashed("user:1", lambda who: keyed_hash(hash_key(), who))
    identity(name, 1)
    assert [share.name for share in what_if("read", [STRICT], NOW - HOUR, NOW).worst] == [name]


def test_estimates_are_scaled_and_labelled() -> None:
    user = next(f"user:{number}" for number in range(1_000) if share_of(f"user:{number}") < 0.25)
    arrived({user: [0, 1, 2]}, share=0.25)
    made = what_if("read", [STRICT], NOW - HOUR, NOW)
    assert made.estimated
    assert (made.requests, made.identities, made.refused, made.touched) == (12, 4, 4, 4)
    assert made.sentence.endswith("; estimated from 25 % of the identities.")


def test_several_quotas_are_charged_together() -> None:
    arrived({"user:1": [0, 1, 2, 3]})
    assert what_if("read", [Quota.parse("60/m:60"), Quota.parse("1/h:3")], NOW - HOUR, NOW).refused == 1


def test_without_arrivals_nothing_is_said() -> None:
    made = what_if("read", [STRICT], NOW - HOUR)
    assert (made.requests, made.sentence) == (0, "No arrivals were recorded.")
    assert suggestion("read", STRICT, NOW - HOUR) is None
    assert said(None).startswith("No quota can be suggested")


def test_a_curve_is_one_what_if_a_burst() -> None:
    arrived({"user:1": list(range(10)), "user:2": [0, 1]})
    made = curve("read", STRICT, [1, 2, 9, 10], NOW - HOUR, NOW)
    assert [(one.quotas[0].burst, one.refused, one.touched) for one in made] == [
        (1, 10, 2),
        (2, 8, 1),
        (9, 1, 1),
        (10, 0, 0),
    ]
    assert curve("read", STRICT, [], NOW - HOUR) == []


def test_a_suggestion_leaves_loops_aside_and_names_the_worst() -> None:
    people = {f"user:{number}": [number % 50, number % 50 + 1, number % 50 + 2] for number in range(60)}
    arrived(people | {"ip:192.0.2.1": [second // 4 for second in range(200)]})
    identity("ip:192.0.2.1", 100)
    found = suggestion("read", Quota.parse("60/m:10"), NOW - HOUR, NOW)
    assert found is not None
    assert (str(found.quota), found.touched, found.identities) == ("60/m:1", 1, 61)
    assert found.worst == "ip:192.0.2.1"
    assert said(found) == (
        f"60/m:1 would touch 1 of 61 identities; of the 200 requests of the worst it would admit {found.worst_after}."
    )


def test_an_arrival_is_what_the_simulator_takes() -> None:
    arrived({"user:1": [0]}, cost=3)
    assert arrivals("read", NOW - HOUR, NOW).arrivals == [
        Arrival(NOW_US - 60 * SECOND_US, sample_name("user:1"), 3),
    ]
