"""From recorded rows to numbers: the database adds up, by minute or by name."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from operator import add
from typing import Any, NamedTuple, TypeVar

from django.db import connections
from django.db.models import BooleanField, Min, QuerySet, Sum, TextField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast

from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording.rolling import KEPT_FINE, STRETCH, whole_stretch
from django_ratelimit_gcra.recording.tally import WAITS_S

_Row = TypeVar("_Row", ArrivalSample, DecisionMinute, IdentityMinute)
_MINUTE = timedelta(minutes=1)

# Literally the condition of an index: SQLite would not know it in a parameter.
REFUSED = RawSQL("blocked > 0 OR would_block > 0", (), output_field=BooleanField())


class Share(NamedTuple):
    """A route's or an identity's part in all refusals, in shadow or not.

    `requests` are those of the minutes in which the route, or the identity, was refused anything.
    """

    name: str
    refused: int
    share: float
    requests: int


class Refused(NamedTuple):
    """A route or an identity that was refused something."""

    name: str
    requests: int
    refused: int


class Span:
    """A span of time in at most so many equal stretches: of whole minutes, or of such as were rolled up."""

    def __init__(self, since: datetime, until: datetime, points: int) -> None:
        first, step = _beginning(since, until)
        self._width = max(1, -(-(until - first) // (points * step))) * step
        self._first = first
        number = max(1, -(-(until - first) // self._width))
        self.starts = [first + at * self._width for at in range(number)]

    def at(self, minute: datetime) -> int:
        """The stretch that a minute lies in."""
        return (minute - self._first) // self._width

    def series(self, rows: "QuerySet[Any]", names: Sequence[str]) -> list[list[int]]:
        """The sums of these columns in each stretch.

        Two weeks have 20,000 minutes, and Django reads dates slowly: they come as text.
        """
        found = [[0] * len(names) for _ in self.starts]
        zone = connections[rows.db].timezone or UTC
        for text, *counts in sums(rows, "minute", names, shown=Cast(Min("minute"), TextField())):
            minute = datetime.fromisoformat(text)
            at = self.at(minute if minute.tzinfo else minute.replace(tzinfo=zone))
            found[at] = list(map(add, found[at], counts))
        return found


def whole_minute(moment: datetime) -> datetime:
    """The beginning of its minute: rows know no seconds."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def rows_of(model: type[_Row], bucket: str, since: datetime, until: datetime) -> "QuerySet[_Row]":
    """A bucket's rows of the minutes that lie in a span at least in part."""
    first = whole_minute(since) if model is ArrivalSample else _beginning(since, until)[0]
    return model._default_manager.filter(bucket=bucket, minute__gte=first, minute__lt=until)  # noqa: SLF001


def _beginning(since: datetime, until: datetime) -> tuple[datetime, timedelta]:
    """Where a report begins, and its least step: one that looks further back may meet rows that were rolled up."""
    fine = until - since <= KEPT_FINE
    return (whole_minute(since), _MINUTE) if fine else (whole_stretch(since), STRETCH)


def sums(rows: "QuerySet[Any]", by: str, names: Sequence[str], shown: Cast | None = None) -> Iterator[Sequence[Any]]:
    """For each value of `by`: the value, or what is `shown` for it, and the sums of these columns."""
    added: dict[str, Any] = {f"sum_{name}": Sum(name) for name in names}
    values = added if shown is None else {"shown": shown, **added}
    found = rows.order_by().values(by).annotate(**values)
    yield from found.values_list(by if shown is None else "shown", *added).iterator(chunk_size=10_000)


def refused_identities(bucket: str, since: datetime, until: datetime) -> Iterator[Refused]:
    """Everybody who was refused, in no order."""
    rows = rows_of(IdentityMinute, bucket, since, until)
    for name, requests, blocked, would_block in sums(rows, "identity", ("requests", "blocked", "would_block")):
        yield Refused(name, requests, blocked + would_block)


def shares(rows: Iterable[Refused], most: int, refused: int = 0) -> tuple[list[Share], int]:
    """The `most` refused, with their shares of all refusals (`refused`, if that is more), and how many there are."""
    number = 0
    total = 0

    def counted() -> Iterator[Refused]:
        nonlocal number, total
        for row in rows:
            number += 1
            total += row.refused
            yield row

    worst = nsmallest(most, counted(), key=lambda row: (-row.refused, row.name))
    total = max(total, refused, 1)
    return [Share(row.name, row.refused, row.refused / total, row.requests) for row in worst], number


def percentile(waits: Sequence[int], share: float) -> float | None:
    """The wait in seconds that this share of the counted waits does not exceed, within its column interpolated.

    None without any wait; the last column has no upper bound, so its lower one is all that is known.
    """
    wanted = sum(waits) * share
    if not wanted:
        return None
    below, lower = 0, 0.0
    for count, upper in zip(waits, WAITS_S, strict=False):
        if count and below + count >= wanted:
            return lower + (upper - lower) * (wanted - below) / count
        below, lower = below + count, float(upper)
    return lower
