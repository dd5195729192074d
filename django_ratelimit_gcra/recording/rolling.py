"""Minutes that nobody looks at one by one any more: twenty of them become one row.

The row of a stretch is the row of its first minute, with the counts of all its minutes in it. So nothing else need know
of stretches, and a process that was cut off and writes late adds to what is there, as ever. Sums over whole stretches
are the same before and after, also for whoever reads in between, and whoever else does the same: the rows that go are
locked, and what they held is added, in one transaction.
"""

from datetime import datetime, timedelta
from operator import add as plus
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Min
from django.utils import timezone

from django_ratelimit_gcra.recording.aggregates import DECISIONS, IDENTITIES, Aggregate, written
from django_ratelimit_gcra.recording.writing import add, moment

STRETCH = timedelta(minutes=20)  # the dashboard's bars, but for those of its shortest span, are of whole stretches
KEPT_FINE = timedelta(hours=2)
_A_FEW = 5
_EPOCH = moment(0)
_MOST_KEYS = 500
_AGGREGATES = (DECISIONS, IDENTITIES)


class _Sum(NamedTuple):
    counts: list[int]
    last: list[str]


def whole_stretch(at: datetime) -> datetime:
    """The beginning of the stretch that it lies in."""
    return _EPOCH + (at - _EPOCH) // STRETCH * STRETCH


def roll_up(since: datetime, now: datetime, most: int = _A_FEW) -> datetime:
    """Roll up at most so many stretches from `since` on; returns from where to go on the next time."""
    at, before = whole_stretch(since), whole_stretch(now - KEPT_FINE)
    for _ in range(most):
        start = _next(at, before)
        if start is None:
            return max(at, before)
        for aggregate in _AGGREGATES:
            _roll(aggregate, start)
        at = start + STRETCH
    return at


def roll_up_all(days: int) -> None:
    """Roll up everything that so many days are kept of."""
    now = timezone.now()
    since, end = now - timedelta(days=days), whole_stretch(now - KEPT_FINE)
    while since < end:
        since = roll_up(since, now)


def _next(at: datetime, before: datetime) -> datetime | None:
    """The first stretch in which anything was recorded."""
    if at >= before:
        return None
    between = [written(one.model).filter(minute__gte=at, minute__lt=before) for one in _AGGREGATES]
    first = [found for rows in between if (found := rows.aggregate(first=Min("minute"))["first"]) is not None]
    return whole_stretch(min(first)) if first else None


def _roll(aggregate: Aggregate, start: datetime) -> None:
    rows, name, added = written(aggregate.model), aggregate.name, aggregate.added
    later = rows.filter(minute__gt=start, minute__lt=start + STRETCH)
    if not later.exists():
        return
    with transaction.atomic(using=later.db):
        later.update(requests=F("requests"))  # SQLite's lock, before anything is read: whoever adds to a row waits
        sums: dict[tuple[str, str], _Sum] = {}
        gone = []
        columns = ("pk", "bucket", name, *added, *aggregate.replaced)
        locked = later.select_for_update()  # a row that was written since the update, too
        for pk, bucket, named, *values in locked.order_by("bucket", name, "minute").values_list(*columns):
            known = sums.get((bucket, named), _Sum([0] * len(added), []))
            sums[bucket, named] = _Sum(list(map(plus, known.counts, values)), values[len(added) :])
            gone.append(pk)
        for at in range(0, len(gone), _MOST_KEYS):
            rows.filter(pk__in=gone[at : at + _MOST_KEYS]).delete()
        summed = ((bucket, start, named, *one.counts, *one.last) for (bucket, named), one in sums.items())
        add(later.db, aggregate, summed)
