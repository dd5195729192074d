"""`ratelimit_prune`: delete idempotency records that have expired."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import router
from django.utils import timezone

from django_ratelimit_gcra.models import IdempotencyRecord


class Command(BaseCommand):
    """Delete expired idempotency records in batches; run it once a day."""

    help = "Delete idempotency records that have expired, in batches."
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the size of a batch."""
        parser.add_argument("--batch", type=int, default=1000, help="how many rows one statement deletes (1000)")

    def handle(self, *args: object, **options: Any) -> None:
        """Delete, and say how many."""
        batch = options["batch"]
        if batch < 1:
            raise CommandError(f"--batch = {batch}: give a number of rows, at least 1")
        rows = IdempotencyRecord.objects.using(router.db_for_write(IdempotencyRecord))
        expired = rows.filter(expires__lte=timezone.now()).order_by("pk")
        count = 0
        while keys := list(expired.values_list("pk", flat=True)[:batch]):
            count += rows.filter(pk__in=keys).delete()[0]
        self.stdout.write(f"{count} expired record{'' if count == 1 else 's'} deleted")
