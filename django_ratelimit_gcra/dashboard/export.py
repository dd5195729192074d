"""A bucket's report as comma-separated values, for spreadsheets: which run what begins like a formula."""

import csv
from collections.abc import Iterator
from io import StringIO

from django.http import HttpResponse

from django_ratelimit_gcra.dashboard.legible import legible
from django_ratelimit_gcra.shadow import BucketReport

_COLUMNS = ("part", "name", "requests", "blocked", "would_block", "refused", "share_of_refusals")
# OWASP, CSV injection: a cell that begins so may be run; an apostrophe in front makes it a text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Row = tuple[object, ...]


class CsvResponse(HttpResponse):
    """A file to keep, never shown in the browser."""


def response(report: BucketReport, *, identities: bool) -> CsvResponse:
    """The file; without `identities` nobody is named in it."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(value) for value in row] for row in _rows(report, identities))
    name = f"{report.bucket}-{report.since:%Y%m%d-%H%M}-{report.until:%Y%m%d-%H%M}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return CsvResponse(out.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


def _rows(report: BucketReport, identities: bool) -> Iterator[Row]:
    yield ("bucket", report.bucket, report.requests, report.blocked, report.would_block, report.refused, 1)
    for point in report.series:
        refused = point.blocked + point.would_block
        yield ("time", point.start.isoformat(), point.requests, point.blocked, point.would_block, refused, "")
    for route in report.routes:
        yield ("route", route.name, route.requests, "", "", route.refused, round(route.share, 4))
    for identity in report.identities if identities else ():
        yield ("identity", identity.name, identity.requests, "", "", identity.refused, round(identity.share, 4))


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = legible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
