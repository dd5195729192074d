"""What if: other rates and bursts against the arrivals that were recorded.

The page itself replays once, for a curve over bursts; what takes longer is a page of its own that a little JavaScript
fetches into the first.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from django_ratelimit_gcra import shadow
from django_ratelimit_gcra.dashboard.charts import Frame, Line, Mark, curve
from django_ratelimit_gcra.dashboard.desk import Desk, Right
from django_ratelimit_gcra.dashboard.forms import WhatIfForm
from django_ratelimit_gcra.dashboard.legible import brief
from django_ratelimit_gcra.dashboard.quotas import QuotasForm
from django_ratelimit_gcra.dashboard.scales import percent
from django_ratelimit_gcra.shadow import WhatIf
from ratelimit_core import Quota

LATELY = timedelta(hours=24)
_BURSTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1_000)


class Asked(NamedTuple):
    """Quotas to try on the arrivals of a stretch of time, beside those in force."""

    bucket: str
    quotas: tuple[Quota, ...]
    present: Sequence[Quota]
    since: datetime
    until: datetime


def page(desk: Desk, name: str) -> TemplateResponse:
    """Pick rate and burst, and see whom that would have refused."""
    bucket = desk.policy(name).bucket
    form = WhatIfForm(bucket, desk.request.GET)
    context: dict[str, object] = {"bucket": bucket, "form": form, "bucket_url": desk.url("bucket", name)}
    if form.is_valid():
        asked = _asked(desk, name, form)
        given = {**QuotasForm.written(asked.quotas), "hours": form.cleaned_data["hours"]}
        found, drawn = _replayed(asked)
        context |= {
            "found": found,
            "label": label(found),
            "chart": drawn,
            "later": desk.url("advice", name, **given) if found.requests else None,
        }
        if asked.quotas != tuple(asked.present) and desk.may(Right.SWITCH):
            context["switch_url"] = desk.url("switch", name, **QuotasForm.written(asked.quotas))
    return desk.page("what_if.html", f"What if: {name}", context)


def advice(desk: Desk, name: str) -> TemplateResponse:
    """A suggestion, and who would be refused most."""
    bucket = desk.policy(name).bucket
    form = WhatIfForm(bucket, desk.request.GET)
    context: dict[str, object] = {"bucket": bucket, "form": form, "bucket_url": desk.url("bucket", name)}
    if form.is_valid():
        asked = _asked(desk, name, form)
        context |= _suggested(desk, asked)
        if desk.may(Right.IDENTITIES):
            context["worst"] = shadow.what_if(name, asked.quotas, asked.since, asked.until).worst
    return desk.page("advice.html", f"What if: {name}", context)


def label(found: WhatIf) -> str:
    """Where the numbers come from: everybody, or an estimate from a share of all identities; empty for nothing."""
    if not found.requests:
        return ""
    if not found.estimated:
        return "Counted: everybody's requests were recorded."
    return f"Estimated from {percent(found.share)} of all identities."


def bursts(*wanted: int) -> list[int]:
    """Bursts to draw a curve over: round ones up to some way beyond those that matter, and these themselves."""
    end = max(10, 3 * max(wanted))
    return sorted({*(burst for burst in _BURSTS if burst <= end), *wanted})


def _asked(desk: Desk, name: str, form: WhatIfForm) -> Asked:
    until = timezone.now()
    present = desk.config.policies[name].bucket.quotas
    return Asked(name, form.quotas(), present, until - form.length(), until)


def _replayed(asked: Asked) -> tuple[WhatIf, SafeString | None]:
    """What the quotas would have done, and the curve over bursts: of the first quota alone where there are several."""
    rate, marks = asked.quotas[0], list(_marks(asked))
    wanted = bursts(rate.burst, *(int(mark.at) for mark in marks))
    points = shadow.curve(asked.bucket, rate, wanted, asked.since, asked.until)
    found = points[wanted.index(rate.burst)]
    if len(asked.quotas) > 1:
        found = shadow.what_if(asked.bucket, asked.quotas, asked.since, asked.until)
    return found, _drawn(rate, points, marks) if found.requests else None


def _drawn(rate: Quota, found: Sequence[WhatIf], marks: Sequence[Mark]) -> SafeString:
    touched = [_point(one, one.touched, one.identities) for one in found]
    refused = [_point(one, one.refused, one.requests) for one in found]
    lines = [
        Line("of identities refused at least once", "would", touched),
        Line("of requests refused", "blocked", refused),
    ]
    said = "; ".join(f"burst {at:g}: {percent(share)} of identities" for at, share in touched)
    speed = str(rate).rpartition(":")[0]
    frame = Frame("curve", f"Who would be refused at {speed}, by burst", said, width=960, height=260)
    return curve(frame, lines, marks, "burst")


def _point(found: WhatIf, part: int, whole: int) -> tuple[float, float]:
    return found.quotas[0].burst, part / whole if whole else 0.0


def _marks(asked: Asked) -> Iterator[Mark]:
    rate, present = asked.quotas[0], asked.present[0]
    same = present.burst == rate.burst
    if present.interval_us == rate.interval_us:
        yield Mark(present.burst, "in force")
    if not same or present.interval_us != rate.interval_us:
        yield Mark(rate.burst, "looked at")


def _suggested(desk: Desk, asked: Asked) -> dict[str, object]:
    found = shadow.suggestion(asked.bucket, asked.quotas[0], asked.since, asked.until)
    if found is None:
        return {}
    cut = found.worst_before - found.worst_after
    worst = brief(found.worst) if desk.may(Right.IDENTITIES) else "the worst one"
    sentence = (
        f"{found.quota} touches {found.touched:,} of {found.identities:,} recorded identities: fewer than 0.1 %, loops "
        f"set aside. Of {found.worst_before:,} requests by {worst} it refuses {cut:,}."
    )
    quotas = QuotasForm.written((found.quota, *asked.quotas[1:]))
    return {"suggested": sentence, "suggested_url": desk.url("what_if", asked.bucket, **quotas)}
