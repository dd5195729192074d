"""The dashboard's pages with a million recorded rows on SQLite, beside the admin's own index.

A million as they were written: those older than two hours are rolled up by then, as on a site that runs.
"""

import io
import itertools
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Line, Work, compare

ROWS = 1_000_000
BUCKETS = ("auth_bootstrap", "read", "write", "financial")
MINUTES = 14 * 24 * 60
PLACE = "/admin/django_ratelimit_gcra/dashboard/"
PAGES = {
    "buckets, 1 hour": "?span=1h",
    "buckets, 1 hour, live": "?span=1h&live=1",
    "buckets, 24 hours": "?span=24h",
    "buckets, 7 days": "?span=7d",
    "one bucket, 1 hour": "bucket/read/?span=1h",
    "one bucket, 14 days": "bucket/read/?span=14d",
}
FLOOR = "the admin's index"


def run(rounds: int) -> list[Line]:
    """A line a page; makes a database of its own."""
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"TESTPROJECT_DB": str(Path(place) / "million.sqlite3")}
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")
        import django
        from django.test.utils import setup_test_environment

        django.setup()
        setup_test_environment()  # no thread runs beside this
        client = _prepared()
        floor = _fetching(client, "/admin/")
        named = {f"{name}, {ROWS:,} rows": _fetching(client, PLACE + page) for name, page in PAGES.items()}
        return [compare(name, FLOOR, floor, work, 1, rounds, "ms") for name, work in named.items()]


def _prepared() -> Any:
    """Somebody signed in to a site with a million rows."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection, transaction
    from django.test import Client

    call_command("migrate", verbosity=0, skip_checks=True)
    with transaction.atomic(), connection.cursor() as cursor:
        insert = (
            "INSERT INTO django_ratelimit_gcra_decisionminute (minute, bucket, route, requests, enforced, blocked, "
            "would_block, replayed, degraded, wait_1, wait_2, wait_5, wait_10, wait_30, wait_60, wait_120, wait_300, "
            "wait_more, lost) VALUES (%s, %s, %s, 100, 100, %s, 0, 0, 0, %s, 0, 0, 0, 0, 0, 0, 0, 0, 0)"
        )
        cursor.executemany(insert, list(itertools.islice(_rows(), ROWS)))
    call_command("ratelimit_prune", stdout=io.StringIO())  # as the recorder does it, a few minutes at a time
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def _rows() -> Iterator[tuple[str, str, str, int, int]]:
    """Every minute of a fortnight, as many routes as it takes; on one row in seven something was refused."""
    now = datetime.now(UTC).replace(second=0, microsecond=0, tzinfo=None)
    routes = -(-ROWS // (MINUTES * len(BUCKETS)))
    for back, bucket, route in itertools.product(range(MINUTES), BUCKETS, range(routes)):
        refused = 3 if (back + route) % 7 == 0 else 0
        yield str(now - timedelta(minutes=back)), bucket, f"some/<int:pk>/route/{route}/", refused, refused


def _fetching(client: Any, place: str) -> Work:
    def work(number: int) -> None:
        for _ in range(number):
            assert client.get(place).status_code == 200

    return work
