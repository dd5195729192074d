"""A page that asks too much on purpose, and what it asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from django_ratelimit_gcra.decorators import exempt, ratelimit
from django_ratelimit_gcra.runtime import limiter
from ratelimit_core import Mode
from testproject.marketplace.negotiation import page

BUCKETS = {"write": "burst-write", "read": "burst-read"}


@exempt
@require_safe
def burst(request: HttpRequest) -> HttpResponse:
    """The page; never limited, so that it can always be opened."""
    return page(request, "burst", {"buckets": list(buckets())})


def buckets() -> Iterator[dict[str, Any]]:
    """What can be fired at, the one that refuses by default first."""
    for name, view in BUCKETS.items():
        policy = limiter().config.policies[name]
        quota = policy.bucket.quotas[0]
        yield {
            "name": name,
            "url": reverse(view),
            "burst": quota.burst,
            "seconds": f"{quota.interval_us / 1_000_000:g}",
            "enforced": policy.mode is Mode.ENFORCE,
        }


@ratelimit(bucket="write", methods=["GET", "HEAD"])
@require_safe
def burst_write(request: HttpRequest) -> HttpResponse:
    """A cheap answer that costs as much as writing."""
    return JsonResponse({"n": request.GET.get("n", "")})


@ratelimit(bucket="read")
@require_safe
def burst_read(request: HttpRequest) -> HttpResponse:
    """A cheap answer that costs as much as reading."""
    return JsonResponse({"n": request.GET.get("n", "")})
