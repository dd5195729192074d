"""What if: other rates and bursts against the arrivals that were recorded."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from django_ratelimit_gcra import shadow
from django_ratelimit_gcra.dashboard.charts import Frame, Line, Mark, curve
from django_ratelimit_gcra.dashboard.desk import Desk, Right
from django_ratelimit_gcra.dashboard.quotas import QuotasForm
from django_ratelimit_gcra.dashboard.scales import percent
from django_ratelimit_gcra.shadow import WhatIf
from ratelimit_core import Quota
from ratelimit_core.simulate import Suggestion

KEPT = timedelta(hours=48)
_BURSTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1_000)


class Suggested(NamedTuple):
    """A suggestion in a sentence, and where it is looked at."""

    sentence: str
    url: str


def page(desk: Desk, name: str) -> TemplateResponse:
    """Pick rate and burst, and see whom that would have refused."""
    bucket = desk.policy(name).bucket
    form = QuotasForm(bucket, desk.request.GET)
    quotas = form.quotas() if form.is_valid() else None
    until = timezone.now()
    context: dict[str, object] = {"bucket": bucket, "form": form, "bucket_url": desk.url("bucket", name)}
    if quotas is not None:
        context |= _results(desk, name, quotas, until - KEPT, until)
    return desk.page("what_if.html", f"What if: {name}", context)


def _results(desk: Desk, name: str, quotas: tuple[Quota, ...], since: datetime, until: datetime) -> dict[str, object]:
    present = desk.config.policies[name].bucket.quotas
    found = shadow.what_if(name, quotas, since, until)
    suggestion = shadow.suggestion(name, quotas[0], since, until)
    asked = {**QuotasForm.written(quotas)}
    return {
        "found": found,
        "label": label(found),
        "worst": found.worst if desk.may(Right.IDENTITIES) else None,
        "chart": _curve(name, quotas, present, suggestion, since, until) if found.requests else None,
        "suggested": _suggested(desk, name, quotas, suggestion),
        "switch_url": desk.url("switch", name, **asked) if quotas != present and desk.may(Right.SWITCH) else None,
    }


def label(found: WhatIf) -> str:
    """Where the numbers come from: everybody, or an estimate from a share of all identities."""
    if not found.estimated:
        return "Counted: everybody's requests were recorded."
    return f"Estimated from {percent(found.share)} of all identities."


def bursts(*wanted: int) -> list[int]:
    """Bursts to draw a curve over: round ones up to some way beyond those that matter, and these themselves."""
    end = max(10, 3 * max(wanted))
    return sorted({*(burst for burst in _BURSTS if burst <= end), *wanted})


def _curve(
    name: str,
    quotas: Sequence[Quota],
    present: Sequence[Quota],
    suggestion: Suggestion | None,
    since: datetime,
    until: datetime,
) -> SafeString:
    rate = quotas[0]
    marks = list(_marks(rate, present[0], suggestion))
    found = shadow.curve(name, rate, bursts(rate.burst, *(int(mark.at) for mark in marks)), since, until)
    lines = [
        Line(
            "of identities refused at least once", "would", [_point(one, one.touched, one.identities) for one in found]
        ),
        Line("of requests refused", "blocked", [_point(one, one.refused, one.requests) for one in found]),
    ]
    speed = str(rate).rpartition(":")[0]
    said = "; ".join(f"burst {at:g}: {percent(share)} of identities" for at, share in lines[0].points)
    frame = Frame("curve", f"Who would be refused at {speed}, by burst", said, width=960, height=260)
    return curve(frame, lines, marks, "burst")


def _point(found: WhatIf, part: int, whole: int) -> tuple[float, float]:
    return found.quotas[0].burst, part / whole if whole else 0.0


def _marks(rate: Quota, present: Quota, suggestion: Suggestion | None) -> Iterator[Mark]:
    if (present.rate, present.period_us) == (rate.rate, rate.period_us):
        yield Mark(present.burst, "now" if present.burst != rate.burst else "now, and looked at")
    if present.burst != rate.burst:
        yield Mark(rate.burst, "looked at")
    if suggestion is not None and suggestion.quota.rate == rate.rate and suggestion.quota.burst != rate.burst:
        yield Mark(suggestion.quota.burst, "suggested")


def _suggested(desk: Desk, name: str, quotas: tuple[Quota, ...], suggestion: Suggestion | None) -> Suggested | None:
    if suggestion is None:
        return None
    quota, cut = suggestion.quota, suggestion.worst_before - suggestion.worst_after
    sentence = (
        f"{quota} touches {suggestion.touched:,} of {suggestion.identities:,} recorded identities, fewer than 0.1 % "
        f"once loops are set aside; of the worst one's {suggestion.worst_before:,} requests it refuses {cut:,}."
    )
    return Suggested(sentence, desk.url("what_if", name, **QuotasForm.written((quota, *quotas[1:]))))
