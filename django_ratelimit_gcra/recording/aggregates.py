"""The two kinds of rows that are added to: what names a row, and what it counts."""

from collections.abc import Sequence
from typing import NamedTuple

from django.db import models, router
from django.db.models import QuerySet

from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording.tally import COUNTS


class Aggregate(NamedTuple):
    """A row is named by bucket, minute and `name`; `added` are counts, of `replaced` the last one stands."""

    model: type[models.Model]
    name: str
    added: Sequence[str]
    replaced: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that are unique together."""
        return "bucket", "minute", self.name


DECISIONS = Aggregate(DecisionMinute, "route", COUNTS)
IDENTITIES = Aggregate(IdentityMinute, "identity", ("requests", "blocked", "would_block"), ("route",))


def written(model: type[models.Model]) -> "QuerySet[models.Model]":
    """All rows of a model, in the database that they are written to."""
    return model._default_manager.using(router.db_for_write(model))  # noqa: SLF001 - a documented interface of Django
