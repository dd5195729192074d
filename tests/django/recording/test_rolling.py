"""Rolling up: twenty minutes become one row, and no report tells the difference."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections, transaction
from django.db.models import Sum
from django.utils import timezone

from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording import Recorder
from django_ratelimit_gcra.recording.aggregates import DECISIONS
from django_ratelimit_gcra.recording.rolling import STRETCH, roll_up, whole_stretch
from django_ratelimit_gcra.recording.tally import COUNTS
from django_ratelimit_gcra.recording.writing import add
from django_ratelimit_gcra.shadow import report, timeline
from tests.django.recording.events import MINUTE_US, NOW, decided, refused

SPANS = (timedelta(hours=1), timedelta(hours=24), timedelta(hours=31, minutes=7), timedelta(days=7))
MINUTE = timedelta(minutes=1)


def write(lots: random.Random, number: int) -> None:
    """Rows of the last days."""
    decisions, people = {}, {}
    for _ in range(number):
        minute, bucket = NOW - lots.randrange(3 * 24 * 60) * MINUTE, lots.choice(("read", "write"))
        route, who = lots.choice(("/a/", "/b/", "")), f"user:{lots.randrange(5)}"
        counts = {name: lots.randrange(100) for name in COUNTS}
        decisions[minute, bucket, route] = DecisionMinute(minute=minute, bucket=bucket, route=route, **counts)
        counts = {name: lots.randrange(9) for name in ("requests", "blocked", "would_block")}
        people[minute, bucket, who] = IdentityMinute(minute=minute, bucket=bucket, identity=who, route="/a/", **counts)
    DecisionMinute.objects.bulk_create(decisions.values())
    IdentityMinute.objects.bulk_create(people.values())


def said() -> Sequence[Any]:
    """Everything that reports say."""
    reports = [report(bucket, NOW - span, NOW) for span in SPANS for bucket in ("read", "write")]
    return [*reports, *(timeline("read", "user:3", NOW - span, NOW) for span in SPANS)]


@pytest.mark.parametrize("seed", range(3))
def test_reports_say_the_same_before_and_after(database: str, seed: int) -> None:
    lots = random.Random(seed)
    write(lots, 500)
    before, rows = said(), DecisionMinute.objects.count()
    at = NOW - timedelta(days=14)
    while at < whole_stretch(NOW - timedelta(hours=2)):
        at = roll_up(at, NOW, most=lots.randrange(30, 90))
        assert said() == before
    assert DecisionMinute.objects.count() < rows
    old = DecisionMinute.objects.filter(minute__lt=at).values_list("minute", flat=True)
    assert all(whole_stretch(minute) == minute for minute in old)
    roll_up(NOW - timedelta(days=14), NOW, most=1_000)
    assert said() == before


def test_what_is_written_late_is_added(database: str, recorder: Recorder) -> None:
    early = -200 * MINUTE_US
    recorder(refused(after_us=early))
    recorder.flush()
    recorder(refused(after_us=early))
    recorder(refused(after_us=early + MINUTE_US))
    recorder.flush()
    assert DecisionMinute.objects.aggregate(sum=Sum("would_block"))["sum"] == 3
    roll_up(NOW - timedelta(days=1), NOW, most=100)
    (row,) = DecisionMinute.objects.all()
    (who,) = IdentityMinute.objects.all()
    assert (row.minute, row.would_block) == (NOW - 200 * MINUTE, 3)
    assert (who.minute, who.would_block, who.route) == (NOW - 200 * MINUTE, 3, "/a/")


def test_two_may_roll_up_while_a_third_writes_late(database: str) -> None:
    start = whole_stretch(NOW - timedelta(hours=5))
    keys = [(start + back * MINUTE, f"/{route}/") for back in range(60) for route in range(5)]
    rows = [("read", minute, route, *([1] * len(COUNTS))) for minute, route in keys]

    def written(some: Sequence[Sequence[object]]) -> None:
        with transaction.atomic():
            add("default", DECISIONS, some)

    def added() -> None:
        for at in range(0, len(rows), 50):
            _stubbornly(lambda at=at: written(rows[at : at + 50]))  # type: ignore[misc]  # bound now

    added()
    rolled = partial(_stubbornly, partial(roll_up, start, NOW, most=100))
    works: list[Callable[[], object]] = [rolled, added, rolled, added]
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(_connected, work) for work in works]:
            done.result()
    roll_up(start, NOW, most=100)
    assert DecisionMinute.objects.count() == 3 * 5
    assert DecisionMinute.objects.aggregate(sum=Sum("requests"))["sum"] == 3 * len(rows)


def _stubbornly(work: Callable[[], object]) -> None:
    """What the database broke off, a deadlock for one, is done again: as the recorder does it with its next batch."""
    for _ in range(100):
        try:
            work()
        except OperationalError:
            continue
        return
    pytest.fail("a hundred times broken off")


def _connected(work: Callable[[], object]) -> None:
    """In a thread, whose connection would stay open."""
    try:
        work()
    finally:
        connections.close_all()


def test_the_writer_rolls_up_a_few_stretches_with_every_batch_and_goes_on_there(
    database: str, recorder: Recorder
) -> None:
    DecisionMinute.objects.bulk_create(
        DecisionMinute(minute=NOW - back * MINUTE, bucket="read", route="/a/", requests=1) for back in range(400)
    )
    left = []
    for _ in range(5):
        recorder(decided())
        recorder.flush()
        left.append(DecisionMinute.objects.count())
    assert left == sorted(left, reverse=True)
    assert left[0] > left[1] > left[2] == left[4] < 140 + 20
    assert DecisionMinute.objects.aggregate(sum=Sum("requests"))["sum"] == 405


def test_pruning_rolls_up_all(database: str) -> None:
    day = whole_stretch(timezone.now()) - timedelta(days=1)
    for at in range(40):
        DecisionMinute.objects.create(minute=day + at * MINUTE, bucket="read", route="/a/", requests=1)
    call_command("ratelimit_prune", verbosity=0)
    found = DecisionMinute.objects.order_by("minute").values_list("minute", "requests")
    assert list(found) == [(day, 20), (day + STRETCH, 20)]
