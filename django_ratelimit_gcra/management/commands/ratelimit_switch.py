"""`ratelimit_switch`: change a bucket's policy in every process at once, undo it, or move the kill switch."""

import getpass
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.utils import timezone

from django_ratelimit_gcra import switching
from django_ratelimit_gcra.layers import aware, described, read_override
from django_ratelimit_gcra.management import database
from django_ratelimit_gcra.models import PolicyOverride
from ratelimit_core import ConfigurationError, Mode
from ratelimit_core.quota import parse_duration


class Command(BaseCommand):
    """One act a call; each asks for a reason, and is kept with it."""

    help = (
        "Change the mode, the canary's share or the quotas of a bucket in every process within two seconds, for good "
        "or for a while; undo such a change; move the kill switch; show what was changed."
    )
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add what to do, and why."""
        parser.add_argument("bucket", nargs="?", help="the bucket to change")
        parser.add_argument("mode", nargs="?", help=f"one of {', '.join(Mode)}; without it the mode stays")
        parser.add_argument("--percent", type=float, help="the share of identities for which a canary enforces")
        parser.add_argument("--quota", action="append", metavar="90/m:15", help="its quotas from now on; repeat it")
        parser.add_argument("--for", dest="duration", metavar="1h", help="how long; then all is as it was")
        act = parser.add_mutually_exclusive_group()
        act.add_argument("--undo", type=int, metavar="ID", help="end a change, by its number")
        act.add_argument("--kill", action="store_true", help="the kill switch: no limits at all")
        act.add_argument("--unkill", action="store_true", help="end that")
        act.add_argument("--history", action="store_true", help="show what was changed, by whom and why")
        parser.add_argument("--reason", default="", help="why; it is kept")

    def handle(self, *args: object, **options: Any) -> None:
        """Do it, and say what was done."""
        try:
            with database.needed(", and nothing was changed"):
                for line in _act(options):
                    self.stdout.write(line)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error


def _act(options: dict[str, Any]) -> Iterator[str]:
    other = options["undo"] is not None or options["kill"] or options["unkill"] or options["history"]
    change = (options["bucket"], options["mode"], options["percent"], options["quota"])
    if other and any(one is not None for one in change):
        raise CommandError("give a bucket and what to change about it, or one of --undo, --kill, --unkill, --history")
    if options["duration"] is not None and other and not options["kill"]:
        raise CommandError("--for goes with a change or with --kill")
    if options["history"]:
        yield from [_line(row) for row in switching.history()] or ["nothing was changed"]
        return
    reason, by = options["reason"], f"{getpass.getuser()}, ratelimit_switch"
    if options["undo"] is not None:
        yield _line(switching.undo(options["undo"], reason, by))
    elif options["kill"] or options["unkill"]:
        yield from map(_line, switching.kill(options["kill"], reason, by, expires=_expires(options["duration"])))
    else:
        yield _line(_switched(options, reason, by))


def _switched(options: dict[str, Any], reason: str, by: str) -> PolicyOverride:
    if options["bucket"] is None:
        raise CommandError("which bucket, and what about it? Or one of --undo, --kill, --unkill, --history")
    change = read_override(options["mode"], options["percent"], options["quota"])
    return switching.switch(options["bucket"], change, reason, by, expires=_expires(options["duration"]))


def _expires(duration: str | None) -> datetime | None:
    if duration is None:
        return None
    us = parse_duration(duration, "--for")
    longest = switching.LONGEST
    if not 0 < us <= longest / timedelta(microseconds=1):
        raise ConfigurationError("--for", duration, f"more than nothing, and at most {longest.days}d")
    return timezone.now() + timedelta(microseconds=us)


def _line(row: PolicyOverride) -> str:
    """One row, as history shows it."""
    try:
        said = described(row.bucket, read_override(row.mode, row.canary_percent, row.quotas), aware(row.expires))
    except ConfigurationError as error:
        said = f"{row.bucket}: can't be used: {error}"
    undone = f"; undone by {row.undone_by}: {row.undone_reason}" if row.undone else ""
    created = aware(row.created).astimezone(UTC)
    return f"{row.pk}  {created:%Y-%m-%d %H:%M:%S}  {row.standing}  {said}  by {row.by}: {row.reason}{undone}"
