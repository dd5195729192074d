"""The stretches of time that pages look back over."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.utils import timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """How far back, how wide a bar is, and how often a page that shows it is brought up to date.

    Bars end on round times, so that they keep still while time goes on.
    """

    name: str
    words: str
    length: timedelta
    bar: timedelta
    every_s: int

    @property
    def points(self) -> int:
        """How many bars there are."""
        return self.length // self.bar

    def ending(self, now: datetime) -> tuple[datetime, datetime]:
        """From when until when: the last bar holds this moment. In the reader's time zone."""
        until = _EPOCH + -((_EPOCH - now) // self.bar) * self.bar
        if until <= now:
            until += self.bar
        return timezone.localtime(until - self.length), timezone.localtime(until)


SPANS = (
    Span("1h", "1 hour", timedelta(hours=1), timedelta(minutes=1), 5),
    Span("24h", "24 hours", timedelta(hours=24), timedelta(minutes=20), 15),
    Span("7d", "7 days", timedelta(days=7), timedelta(hours=2), 60),
    Span("14d", "14 days", timedelta(days=14), timedelta(hours=4), 60),
)
_BY_NAME = {span.name: span for span in SPANS}


def chosen(name: str | None) -> Span:
    """The span of that name, else the first."""
    return _BY_NAME.get(name or "", SPANS[0])
