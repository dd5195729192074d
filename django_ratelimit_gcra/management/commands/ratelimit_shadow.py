"""`ratelimit_shadow`: whom each bucket refuses or would refuse, and what another limit would have done."""

import csv
import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.utils import timezone

from django_ratelimit_gcra import overrides, runtime, shadow
from django_ratelimit_gcra.management import database, who
from django_ratelimit_gcra.management.printing import cell, plain, table
from ratelimit_core import Config, ConfigurationError, Quota
from ratelimit_core.config import Policy
from ratelimit_core.simulate import Suggestion

_MOST_HOURS = 24 * 366


@dataclass(frozen=True, slots=True)
class _Found:
    """All that is said of one bucket."""

    policy: Policy
    report: shadow.BucketReport
    readiness: shadow.Readiness
    what_if: Sequence[shadow.WhatIf]
    suggestion: Suggestion | None


class Command(BaseCommand):
    """Print what was recorded; writes nothing."""

    help = "Show whom each bucket refuses or would refuse, whether it can be enforced, and what other limits would do."
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the bucket, the span, the questions and the form of the answer."""
        parser.add_argument("--bucket", help="one bucket; all of them if not given")
        parser.add_argument("--hours", type=float, default=24, help="how far to look back (24)")
        parser.add_argument(
            "--what-if",
            action="append",
            default=[],
            metavar="QUOTAS",
            help="replay the recorded arrivals against other quotas: 90/m:15, or 5/m:1,50/h:10 together; repeatable",
        )
        parser.add_argument("--suggest", action="store_true", help="look for the smallest quota that disturbs nobody")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="for programs")
        form.add_argument("--csv", action="store_true", help="the refused identities and routes, for a spreadsheet")

    def handle(self, *args: object, **options: Any) -> None:
        """Print; raises CommandError for what can't be asked."""
        overrides.refresh()
        config = runtime.limiter().config
        names = who.buckets(options, config)
        until = timezone.now()
        since = until - timedelta(hours=_hours(options["hours"]))
        asked = [_quotas(text) for text in options["what_if"]]
        with database.needed():
            found = [_find(config, name, since, until, asked, suggest=options["suggest"]) for name in names]
        if options["csv"]:
            self._write_csv(found)
        elif options["json"]:
            self.stdout.write(json.dumps([_as_json(one, suggest=options["suggest"]) for one in found], indent=2))
        else:
            lines = [line for one in found for line in _text(one, suggest=options["suggest"])]
            self.stdout.write(self._writable("\n".join(lines)))

    def _write_csv(self, found: Sequence[_Found]) -> None:
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(("bucket", "kind", "name", "refused", "share", "requests"))
        for one in found:
            for kind, shares in (("identity", one.report.identities), ("route", one.report.routes)):
                for name, refused, share, requests in shares:
                    row = one.report.bucket, kind, self._writable(cell(name)), refused, f"{share:.4f}", requests
                    writer.writerow(row)

    def _writable(self, text: str) -> str:
        """What the terminal's encoding lacks, escaped."""
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)


def _hours(hours: float) -> float:
    if not 0 < hours <= _MOST_HOURS:
        raise CommandError(f"--hours = {hours:g}: give a number of hours, more than 0 and at most {_MOST_HOURS}")
    return hours


def _quotas(text: str) -> list[Quota]:
    try:
        return [Quota.parse(one) for one in text.split(",")]
    except ConfigurationError as error:
        raise CommandError(f"--what-if: {error}") from None


def _find(
    config: Config, bucket: str, since: datetime, until: datetime, asked: Sequence[Sequence[Quota]], *, suggest: bool
) -> _Found:
    policy = config.policy(bucket)
    return _Found(
        policy,
        shadow.report(bucket, since, until),
        shadow.readiness(bucket, config, until),
        [shadow.what_if(bucket, quotas, since, until) for quotas in asked],
        shadow.suggestion(bucket, policy.bucket.quotas[0], since, until) if suggest else None,
    )


def _as_json(found: _Found, *, suggest: bool) -> dict[str, Any]:
    """JSON's own types; quotas as they are written in settings."""
    report = asdict(found.report)
    report |= {name: getattr(found.report, name).isoformat() for name in ("since", "until")}
    report["series"] = [{**point._asdict(), "start": point.start.isoformat()} for point in found.report.series]
    report |= {name: [share._asdict() for share in getattr(found.report, name)] for name in ("routes", "identities")}
    said: dict[str, Any] = {
        **report,
        "mode": found.policy.mode,
        "quotas": list(map(str, found.policy.bucket.quotas)),
        "readiness": found.readiness._asdict(),
        "what_if": [_replayed(one) for one in found.what_if],
    }
    if suggest:
        made = found.suggestion
        said["suggestion"] = None if made is None else {**made._asdict(), "quota": str(made.quota)}
    return said


def _replayed(one: shadow.WhatIf) -> dict[str, Any]:
    counts = {name: getattr(one, name) for name in ("requests", "identities", "refused", "touched", "share")}
    worst = [share._asdict() for share in one.worst]
    return {"quotas": list(map(str, one.quotas)), **counts, "worst": worst, "sentence": one.sentence}


def _text(found: _Found, *, suggest: bool) -> Iterator[str]:
    report, policy = found.report, found.policy
    hours = (report.until - report.since) / timedelta(hours=1)
    yield f"{report.bucket} ({', '.join(map(str, policy.bucket.quotas))}), {policy.mode}, the last {hours:g} h"
    yield f"  {found.readiness.sentence}"
    counts = ("requests", "enforced", "blocked", "would_block", "replayed", "degraded", "lost")
    yield "  " + ", ".join(f"{getattr(report, name):,} {name.replace('_', ' ')}" for name in counts)
    if report.wait_p50_s is not None and report.wait_p95_s is not None:
        yield f"  waits: half up to {report.wait_p50_s:.3g} s, 95 % up to {report.wait_p95_s:.3g} s"
    if report.refused:
        yield f"  {report.sentence}"
    yield from _shares("identity", report.identities)
    yield from _shares("route", report.routes)
    for one in found.what_if:
        yield f"  what if: {one.sentence}"
        yield from _shares("identity", one.worst)
    if suggest:
        yield f"  suggested: {shadow.said(found.suggestion)}"
    yield ""


def _shares(kind: str, shares: Sequence[shadow.Share]) -> Iterator[str]:
    """A table of the worst, the name last: it may be of any script and length."""
    if shares:
        rows = [
            (f"{one.refused:,}", f"{100 * one.share:.1f} %", f"{one.requests:,}", plain(one.name)) for one in shares
        ]
        yield from table([("refused", "share", "requests", kind), *rows], "    ")
