"""`ratelimit_prune`: delete idempotency records that have expired, and what was recorded of limits long ago."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import router
from django.db.models import Model
from django.utils import timezone

from django_ratelimit_gcra.conf import RECORD_DAYS
from django_ratelimit_gcra.management import database
from django_ratelimit_gcra.models import IdempotencyRecord
from django_ratelimit_gcra.recording import retention, rolling


class Command(BaseCommand):
    """Delete in batches, and roll up what is no longer looked at by the minute; run it once a day."""

    help = "Delete expired idempotency records, and records of decisions that are older than RATE_LIMIT_RECORD_DAYS."
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the size of a batch."""
        parser.add_argument("--batch", type=int, default=1000, help="how many rows one statement deletes (1000)")

    def handle(self, *args: object, **options: Any) -> None:
        """Delete, and say how many."""
        batch = options["batch"]
        if batch < 1:
            raise CommandError(f"--batch = {batch}: give a number of rows, at least 1")
        with database.needed():
            count = _delete_expired(batch)
            self.stdout.write(f"{count} expired record{'' if count == 1 else 's'} deleted")
            old = sum(_delete_all(model, before, batch) for model, before in retention.limits(RECORD_DAYS.value()))
            self.stdout.write(f"{old} old row{'' if old == 1 else 's'} of decisions deleted")
            rolling.roll_up_all(RECORD_DAYS.value())


def _delete_expired(batch: int) -> int:
    rows = IdempotencyRecord.objects.using(router.db_for_write(IdempotencyRecord))
    expired = rows.filter(expires__lte=timezone.now()).order_by("pk")
    count = 0
    while keys := list(expired.values_list("pk", flat=True)[:batch]):
        count += rows.filter(pk__in=keys).delete()[0]
    return count


def _delete_all(model: type[Model], before: datetime, batch: int) -> int:
    count = 0
    while deleted := retention.delete(model, before, batch):
        count += deleted
    return count
