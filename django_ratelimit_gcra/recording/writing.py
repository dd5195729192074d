"""Puts rows into the database, adding to those that are there: one transaction, a few statements."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute
from django_ratelimit_gcra.recording.aggregates import DECISIONS, IDENTITIES, Aggregate
from django_ratelimit_gcra.recording.tally import Person
from django_ratelimit_gcra.recording.unsent import Key, Sample, Unsent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_PARAMETERS = 20_000


def write(unsent: Unsent) -> None:
    """Write all of it or nothing; raises what the database raises.

    A commit whose confirmation is lost is written again. Rows go in the order of their keys, so that two processes
    never wait for each other.
    """
    alias = router.db_for_write(DecisionMinute)
    with transaction.atomic(using=alias):
        add(alias, DECISIONS, _counted(unsent.counts))
        add(alias, IDENTITIES, _people(unsent.people))
        ArrivalSample.objects.using(alias).bulk_create(map(_sample, unsent.samples), batch_size=100)


def add(alias: str, aggregate: Aggregate, rows: Iterable[Sequence[object]]) -> None:
    """Insert rows of key, numbers to add and what is replaced; where a row of that key exists, add to it.

    Django's own `bulk_create(update_conflicts=True)` can replace and not add.
    """
    connection = connections[alias]
    quote = connection.ops.quote_name
    table = quote(aggregate.model._meta.db_table)  # noqa: SLF001 - a documented interface of Django
    columns = [quote(name) for name in (*aggregate.key, *aggregate.added, *aggregate.replaced)]
    changes = [f"{quote(name)} = {table}.{quote(name)} + EXCLUDED.{quote(name)}" for name in aggregate.added]
    changes += [f"{quote(name)} = EXCLUDED.{quote(name)}" for name in aggregate.replaced]
    head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - names of our own models, no values
    tail = f" ON CONFLICT ({', '.join(map(quote, aggregate.key))}) DO UPDATE SET {', '.join(changes)}"
    marks = f"({', '.join(['%s'] * len(columns))})"
    most = (connection.features.max_query_params or _MOST_PARAMETERS) // len(columns)
    left = iter(rows)
    with connection.cursor() as cursor:
        while chunk := list(islice(left, most)):
            values = [_stored(connection, value) for row in chunk for value in row]
            cursor.execute(head + ", ".join([marks] * len(chunk)) + tail, values)


def moment(minute: int) -> datetime:
    """A minute since the epoch as the database keeps it."""
    return _EPOCH + timedelta(minutes=minute)


def _stored(connection: BaseDatabaseWrapper, value: object) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def _counted(counts: Mapping[Key, Sequence[int]]) -> Iterator[Sequence[object]]:
    for bucket, minute, route in sorted(counts):
        yield bucket, moment(minute), route, *counts[bucket, minute, route]


def _people(people: Mapping[Key, Person]) -> Iterator[Sequence[object]]:
    for key in sorted(people):
        bucket, minute, identity = key
        person = people[key]
        yield bucket, moment(minute), identity, person.requests, person.blocked, person.would_block, person.route


def _sample(sample: Sample) -> ArrivalSample:
    bucket, minute, share, arrivals, data = sample
    return ArrivalSample(bucket=bucket, minute=moment(minute), share=share, arrivals=arrivals, data=data)
