"""Rows as the recorder writes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording.names import hash_key, keyed_hash
from django_ratelimit_gcra.recording.packing import pack

SECOND_US = 1_000_000
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOW_US = round(NOW.timestamp()) * SECOND_US


def decisions(minutes_ago: int, requests: int, route: str = "/a/", bucket: str = "read", **counts: int) -> None:
    """A row of so many minutes before NOW."""
    minute = NOW - timedelta(minutes=minutes_ago)
    DecisionMinute.objects.create(minute=minute, bucket=bucket, route=route, requests=requests, **counts)


def identity(name: str, would_block: int, requests: int | None = None, minutes_ago: int = 1, **fields: Any) -> None:
    """One identity in one minute."""
    IdentityMinute.objects.create(
        minute=NOW - timedelta(minutes=minutes_ago),
        bucket="read",
        identity=name,
        route="/a/",
        requests=would_block if requests is None else requests,
        would_block=would_block,
        **fields,
    )


def arrived(
    moments: dict[str, list[int]], seconds_ago: int = 60, share: float = 1.0, cost: int = 1, bucket: str = "read"
) -> None:
    """Arrivals by identity, so many seconds after a moment before NOW."""
    began_us = NOW_US - seconds_ago * SECOND_US
    visits = {
        keyed_hash(hash_key(), (name, None)): [(began_us + after * SECOND_US, cost) for after in seconds]
        for name, seconds in moments.items()
    }
    minute = (NOW - timedelta(seconds=seconds_ago)).replace(second=0)
    number = sum(map(len, moments.values()))
    ArrivalSample.objects.create(minute=minute, bucket=bucket, share=share, arrivals=number, data=pack(visits))
