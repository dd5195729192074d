"""`ratelimit_reset`: forget what somebody has spent."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.management import who
from ratelimit_core import StoreError


class Command(BaseCommand):
    """Forget what a user, an address or a key has spent, in one bucket or in all."""

    help = "Forget what a user, an address or a key has spent, in one bucket or in all."
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that name somebody."""
        who.add_arguments(parser)

    def handle(self, *args: object, **options: Any) -> None:
        """Forget, and say what was forgotten."""
        limiter = runtime.limiter()
        identity = who.named(options, limiter.config)
        scope = options["scope"]
        who.note_memory(limiter, self.stderr)
        within = "" if scope is None else f" (scope {scope!r})"
        for name in who.buckets(options, limiter.config):
            try:
                count = limiter.reset(identity, name, scope)
            except StoreError as error:
                raise CommandError(f"{name}: nothing was forgotten, the store can't be reached ({error})") from error
            said = f"{count} quota{'s' if count > 1 else ''} forgotten" if count else "nothing was spent"
            self.stdout.write(f"{name}: {identity}{within}: {said}")
