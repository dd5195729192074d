"""The pages to look at: all buckets, one bucket, one identity's time line."""

from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from django.core.cache import cache
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from django_ratelimit_gcra import conf, runtime, shadow
from django_ratelimit_gcra.dashboard import export, spans, switches
from django_ratelimit_gcra.dashboard.charts import Frame
from django_ratelimit_gcra.dashboard.desk import Desk, Right
from django_ratelimit_gcra.dashboard.figures import Figure, described, figures, traffic
from django_ratelimit_gcra.dashboard.legible import brief
from django_ratelimit_gcra.dashboard.spans import Span
from django_ratelimit_gcra.dashboard.standing import Standing, standing
from django_ratelimit_gcra.recording.names import storable
from ratelimit_core.buckets import Mode

_OBSERVED = (Mode.SHADOW, Mode.CANARY)
_REMEMBERED_S = 300
_LONGEST_NAME = 200


class Card(NamedTuple):
    """One bucket in the list of all."""

    standing: Standing
    figures: list[Figure]
    chart: SafeString
    sentence: str
    url: str
    readiness_url: str | None


class Asked(NamedTuple):
    """What a request asks to see."""

    span: Span
    since: datetime
    until: datetime
    live: bool


def asked(request: HttpRequest) -> Asked:
    """The span, as of now; `live` asks for what changes only."""
    span = spans.chosen(request.GET.get("span"))
    return Asked(span, *span.ending(timezone.now()), "live" in request.GET)


def overview(desk: Desk) -> TemplateResponse:
    """Every bucket."""
    what = asked(desk.request)
    cards = [_card(desk, name, what) for name in desk.config.policies]
    context = {
        "cards": cards,
        "enabled": desk.config.enabled,
        "notices": switches.notices(),
        **_times(desk, what, "changelist"),
    }
    return desk.page("overview.html", "Rate limits", context)


def _card(desk: Desk, name: str, what: Asked) -> Card:
    policy = desk.config.policies[name]
    report = shadow.report(name, what.since, what.until, what.span.points)
    frame = Frame(f"chart-{name}", f"Requests to {name}", described(report.series), width=480, height=140)
    return Card(
        standing(policy, conf.sources(), runtime.layers()),
        figures(report),
        traffic(frame, report.series, what.since, what.until),
        report.sentence if report.looks_like else "",
        desk.url("bucket", name, span=what.span.name),
        desk.url("readiness", name) if policy.mode in _OBSERVED else None,
    )


def bucket(desk: Desk, name: str) -> TemplateResponse:
    """One bucket: more of the same, and who and where."""
    policy, what = desk.policy(name), asked(desk.request)
    report = shadow.report(name, what.since, what.until, what.span.points)
    frame = Frame(f"chart-{name}", f"Requests to {name}", described(report.series), width=960, height=240)
    context = {
        "standing": standing(policy, conf.sources(), runtime.layers()),
        "report": report,
        "figures": figures(report),
        "chart": traffic(frame, report.series, what.since, what.until),
        "identities": report.identities if desk.may(Right.IDENTITIES) else None,
        "identity_url": desk.url("identity", name, span=what.span.name),
        "readiness_url": desk.url("readiness", name) if policy.mode in _OBSERVED else None,
        "history": switches.entries(desk, switches.of_bucket(name)),
        "links": {page: desk.url(page, name) for page in ("what_if", "switch", "report")},
        **_times(desk, what, "bucket", name),
    }
    return desk.page("bucket.html", f"Bucket {name}", context)


def readiness(desk: Desk, name: str) -> TemplateResponse:
    """Whether the bucket can be enforced; a replay of two days takes its time, so the answer is kept for a while."""
    policy = desk.policy(name)
    key = f"ratelimit-readiness-{sha256(repr((desk.config.namespace, policy)).encode()).hexdigest()}"
    found = cache.get(key)
    if found is None:
        found = tuple(shadow.readiness(name, desk.config))
        cache.set(key, found, _REMEMBERED_S)
    context = {"bucket": name, "readiness": shadow.Readiness(*found), "bucket_url": desk.url("bucket", name)}
    return desk.page("readiness.html", f"Is {name} ready?", context)


def identity(desk: Desk, name: str) -> TemplateResponse:
    """When one identity was refused."""
    desk.demand(Right.IDENTITIES)
    desk.policy(name)
    who = desk.request.GET.get("identity", "")
    if not 0 < len(who) <= _LONGEST_NAME or who != storable(who):
        raise Http404("Nobody is named, or nobody who could have been recorded.")
    what = asked(desk.request)
    series = shadow.timeline(name, who, what.since, what.until, what.span.points)
    frame = Frame("chart-identity", f"Requests of {brief(who)} to {name}", described(series), width=960, height=240)
    context = {
        "bucket": name,
        "identity": who,
        "series": [point for point in series if point.requests],
        "chart": traffic(frame, series, what.since, what.until),
        "bucket_url": desk.url("bucket", name, span=what.span.name),
        "live_url": desk.url("live", identity=who),
        **_times(desk, what, "identity", name, identity=who),
    }
    return desk.page("identity.html", f"{brief(who)} in {name}", context)


def report(desk: Desk, name: str) -> export.CsvResponse:
    """One bucket's report as a file."""
    desk.policy(name)
    what = asked(desk.request)
    found = shadow.report(name, what.since, what.until, what.span.points, most=1_000)
    return export.response(found, identities=desk.may(Right.IDENTITIES))


def _times(desk: Desk, what: Asked, page: str, *arguments: object, **query: object) -> dict[str, object]:
    """The choice of spans, and where what changes is fetched from."""
    links = [(span, desk.url(page, *arguments, **query, span=span.name)) for span in spans.SPANS]
    live = desk.url(page, *arguments, **query, span=what.span.name, live=1)
    return {"span": what.span, "spans": links, "live_from": live, "now": timezone.now()}
