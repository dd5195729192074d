"""What recording costs a request, and what a report costs with a million rows on SQLite."""

import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice, product
from pathlib import Path
from random import Random

import django

from ratelimit_core import Event, Sink
from tests.benchmarks.measure import DICT, Line, Work, compare, dict_floor

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
CALLS = 20_000
MINUTES = 14 * 24 * 60
BUCKETS = ("read", "write", "financial", "auth_bootstrap")
ROUTES = 9
SCAN = "one SUM over the same rows"


def run(rounds: int) -> list[Line]:
    """Every line; makes a database of its own."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")
    with tempfile.TemporaryDirectory() as place:
        os.environ["TESTPROJECT_DB"] = str(Path(place) / "records.sqlite3")
        os.environ["TESTPROJECT_DEBUG"] = "false"  # with it Django keeps every query
        django.setup()
        return [*recording(rounds), *reporting(rounds)]


def recording(rounds: int) -> list[Line]:
    from django.test.utils import setup_test_environment

    from django_ratelimit_gcra.recording import Recorder
    from tests.django.recording.events import decided, refused

    setup_test_environment()  # no thread
    kinds = {
        "300 identities, admitted": [decided(f"user:{one}") for one in range(300)],
        "300 identities, refused": [refused(f"user:{one}") for one in range(300)],
        "100,000 identities, refused": [refused(f"user:{one}") for one in range(100_000)],
    }
    floor = dict_floor([str(number) for number in range(256)])
    lines = []
    for name, events in kinds.items():
        ours = _recording(Recorder(), events)
        lines.append(compare(f"record a decision, {name}", DICT, floor, ours, CALLS, rounds))
    return lines


def _recording(sink: Sink, events: Sequence[Event]) -> Work:
    endless = cycle(events)

    def work(number: int) -> None:
        for event in islice(endless, number):
            sink(event)

    return work


def reporting(rounds: int) -> list[Line]:
    from django.core.management import call_command
    from django.db import connection
    from django.db.models import Sum

    from django_ratelimit_gcra import shadow
    from django_ratelimit_gcra.models import DecisionMinute
    from django_ratelimit_gcra.shadow.reading import rows_of

    call_command("migrate", verbosity=0)
    fill()
    lines = []
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for days in (1, 7):
        since = NOW - timedelta(days=days)

        def floor(number: int, since: datetime = since) -> None:
            for _ in range(number):
                rows_of(DecisionMinute, "read", since, NOW).aggregate(sum=Sum("requests"))

        def ours(number: int, since: datetime = since) -> None:
            for _ in range(number):
                shadow.report("read", since, NOW)

        lines.append(compare(f"report of {days} d, a million rows", SCAN, floor, ours, 1, rounds, "us"))
    return lines


def fill() -> None:
    """Two weeks: 725,760 rows of decisions and 241,920 of identities."""
    from django.db import transaction

    from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute

    lots = Random(1)
    places = product((NOW - timedelta(minutes=one + 1) for one in range(MINUTES)), BUCKETS)
    with transaction.atomic():
        while chunk := list(islice(places, 2_000)):
            decisions, people = [], []
            for minute, bucket in chunk:
                for route in range(ROUTES):
                    refused = lots.randrange(1, 20) if lots.random() < 0.1 else 0
                    counts = {"requests": lots.randrange(500), "would_block": refused, "wait_5": refused}
                    decisions.append(DecisionMinute(minute=minute, bucket=bucket, route=f"/api/{route}/", **counts))
                for one in lots.sample(range(2_000), 3):
                    counts = {"requests": 20, "would_block": lots.randrange(1, 20)}
                    people.append(IdentityMinute(minute=minute, bucket=bucket, identity=f"user:{one}", **counts))
            DecisionMinute.objects.bulk_create(decisions)
            IdentityMinute.objects.bulk_create(people)
