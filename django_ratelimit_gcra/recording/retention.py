"""How long records are kept, and how the older ones go: a few with every batch written, all with `ratelimit_prune`."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording.aggregates import written

SAMPLES_KEPT = timedelta(hours=48)
_A_FEW = 300


def limits(days: int) -> Iterator[tuple[type[models.Model], datetime]]:
    """Each kind of record, with the moment before which it goes."""
    now = timezone.now()
    aggregates = now - timedelta(days=days)
    yield DecisionMinute, aggregates
    yield IdentityMinute, aggregates
    yield ArrivalSample, max(aggregates, now - SAMPLES_KEPT)


def trickle(days: int, most: int = _A_FEW) -> int:
    """Delete the oldest rows that are too old, up to `most` of each kind; returns how many."""
    return sum(delete(model, before, most) for model, before in limits(days))


def delete(model: type[models.Model], before: datetime, most: int) -> int:
    """Delete up to `most` rows from before a moment, in one statement; returns how many."""
    rows = written(model)
    keys = list(rows.filter(minute__lt=before).order_by("minute").values_list("pk", flat=True)[:most])
    return rows.filter(pk__in=keys).delete()[0] if keys else 0
