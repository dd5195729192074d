"""Recorded traffic of any length, the same each time, for the dashboard's tests, screenshots and benchmark.

`TESTPROJECT_DB=... python -m tests.recorded empty|small|fortnight` writes it, and some staff, into the testproject's
database.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

import django

from tests.foreign_texts import NASTY

if TYPE_CHECKING:
    from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute

MINUTE = timedelta(minutes=1)
DAY, THINNED = 24 * 60, 20
LOOP, SCRAPER = "user:666", "ip:203.0.113.99"
STAFF = {
    "nobody": (),
    "viewer": ("view_dashboard",),
    "switcher": ("view_dashboard", "view_identities", "switch_policy"),
}
# bucket: routes, requests a minute at noon, the share that is refused, whether that is enforced
TRAFFIC = {
    "auth_bootstrap": (("login/", "api/token/"), 40, 0.002, False),
    "read": (("instructors/<int:pk>/", "search/", "bookings/"), 900, 0.004, False),
    "write": (("api/bookings/", "bookings/<int:pk>/cancel/"), 120, 0.01, True),
    "financial": (("api/bookings/<int:pk>/pay/",), 12, 0.03, True),
}


def write(minutes: int, until: datetime | None = None, seed: int = 7) -> int:
    """So many minutes of every bucket until now, all of the last day, then one in twenty; returns how many rows."""
    from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute

    end = (until or datetime.now(UTC)).replace(second=0, microsecond=0) + MINUTE
    lots = random.Random(seed)
    counted = list(_minutes(lots, end, minutes))
    DecisionMinute.objects.bulk_create(counted, batch_size=1_000)
    named = list(_identities(lots, end, min(minutes, 7 * 24 * 60)))
    IdentityMinute.objects.bulk_create(named, batch_size=1_000)
    return len(counted) + len(named)


def write_samples(identities: int, hours: int, share: float = 1.0, bucket: str = "read") -> None:
    """Arrivals of people who open a page with three requests now and then, and of one loop that asks each second."""
    from django_ratelimit_gcra.models import ArrivalSample
    from django_ratelimit_gcra.recording.packing import pack

    lots = random.Random(11)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    for back in range(hours * 60, 0, -1):
        minute = end - back * MINUTE
        start_us = int(minute.timestamp()) * 1_000_000
        visits = {
            _hash(one): sorted((start_us + lots.randrange(55_000_000) + at * 40_000, 1) for at in range(3))
            for one in lots.sample(range(identities), max(1, identities // 60))
        }
        if hours * 60 - back < 30:
            visits[_hash(-1)] = [(start_us + second * 1_000_000, 1) for second in range(60)]
        number = sum(map(len, visits.values()))
        ArrivalSample.objects.create(minute=minute, bucket=bucket, share=share, arrivals=number, data=pack(visits))


def _minutes(lots: random.Random, end: datetime, minutes: int) -> Iterator[DecisionMinute]:
    from django_ratelimit_gcra.models import DecisionMinute

    for bucket, (own, noon, share, enforced) in TRAFFIC.items():
        for back in _backwards(minutes):
            weight = 1 if back < DAY else THINNED
            minute = end - (back + 1) * MINUTE
            day = 0.55 + 0.45 * math.sin((minute.hour * 60 + minute.minute) / 1440 * 2 * math.pi - math.pi / 2)
            storm = 12 if back % 2_000 in range(300, 380) else 1
            for route in own:
                requests = int(noon * day * lots.uniform(0.7, 1.3) / len(own)) * weight
                refused = sum(lots.random() < share * storm for _ in range(min(requests, 4_000)))
                yield DecisionMinute(
                    minute=minute,
                    bucket=bucket,
                    route=route,
                    requests=requests,
                    enforced=requests if enforced else 0,
                    blocked=refused if enforced else 0,
                    would_block=0 if enforced else refused,
                    degraded=requests // 2 if bucket == "write" and back % 5_000 in range(90, 96) else 0,
                    wait_1=refused // 2,
                    wait_10=refused - refused // 2,
                )


def _identities(lots: random.Random, end: datetime, minutes: int) -> Iterator[IdentityMinute]:
    from django_ratelimit_gcra.models import IdentityMinute

    for bucket, (own, _, _, enforced) in TRAFFIC.items():
        for back in range(0, minutes, 5):
            people = (LOOP, f"user:{lots.randrange(1, 400)}") if bucket == "read" else (f"user:{lots.randrange(90)}",)
            for identity in (*people, *((SCRAPER,) if back % 30 < 9 else ())):
                refused = lots.randrange(20, 50) if identity == LOOP else lots.randrange(1, 5)
                yield IdentityMinute(
                    minute=end - (back + 1) * MINUTE,
                    bucket=bucket,
                    identity=identity,
                    route=own[0],
                    requests=refused + lots.randrange(10),
                    blocked=refused if enforced else 0,
                    would_block=0 if enforced else refused,
                )


def _backwards(minutes: int) -> Iterator[int]:
    yield from range(min(minutes, DAY))
    yield from range(DAY, minutes, THINNED)


def _hash(number: int) -> bytes:
    return blake2b(str(number).encode(), digest_size=8).digest()


def people() -> None:
    """Staff with little to say; the password is the name."""
    from django.contrib.auth.models import Permission, User

    for name, codenames in STAFF.items():
        user = User.objects.create_user(name, password=name, is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))


def main(size: str) -> None:
    django.setup()
    people()
    if size == "small":
        write(20)
        write_samples(30, 1)
        write_foreign()
    elif size == "fortnight":
        write(14 * DAY)
        write_samples(1_204, 30)


def write_foreign() -> None:
    """Whoever sends requests can spell their name."""
    from django_ratelimit_gcra.models import IdentityMinute
    from django_ratelimit_gcra.recording.names import bounded, storable

    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    for text in NASTY:
        name = storable(bounded(f"key:{text}"))
        IdentityMinute.objects.create(
            minute=minute, bucket="read", identity=name, route=name, requests=9, would_block=8
        )


if __name__ == "__main__":
    main(sys.argv[1])
