"""Reads what was recorded: reports, time lines, what another quota would have done, whether to enforce."""

from django_ratelimit_gcra.shadow.causes import LooksLike
from django_ratelimit_gcra.shadow.readiness import Readiness, readiness
from django_ratelimit_gcra.shadow.reading import Share
from django_ratelimit_gcra.shadow.reports import BucketReport, Point, report, timeline
from django_ratelimit_gcra.shadow.samples import Sampled, arrivals
from django_ratelimit_gcra.shadow.whatif import WhatIf, curve, said, suggestion, what_if

__all__ = [
    "BucketReport",
    "LooksLike",
    "Point",
    "Readiness",
    "Sampled",
    "Share",
    "WhatIf",
    "arrivals",
    "curve",
    "readiness",
    "report",
    "said",
    "suggestion",
    "timeline",
    "what_if",
]
