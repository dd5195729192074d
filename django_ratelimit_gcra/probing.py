"""The page that `ratelimit_probe` asks: proof that this site refuses what it says it refuses.

    path("ratelimit/probe/", probe)                                      # in the URL conf
    RATE_LIMIT_BUCKETS = {"probe": {"quota": "6/m", "burst": 3}, ...}    # in the settings

A run of the command carries a ticket that SECRET_KEY signed, and is charged to a key of its own: several people can
probe at once, from wherever they are, and each finds a full bucket. Nobody else can make keys: without a valid ticket
the page charges whoever asks, as any other page does.
"""

import secrets

from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from django_ratelimit_gcra.decorators import ratelimit
from django_ratelimit_gcra.state import state_of

BUCKET = "probe"
HEADER = "X-RateLimit-Probe"
_SALT = "django_ratelimit_gcra.probing"
_VALID_SECONDS = 600


def make_ticket() -> str:
    """A ticket for one run."""
    return TimestampSigner(salt=_SALT).sign(secrets.token_hex(8))


def run_of(request: HttpRequest) -> str | None:
    """The run that a request belongs to, which is charged; None without a ticket that is ours and fresh."""
    try:
        return f"probe:{TimestampSigner(salt=_SALT).unsign(request.headers[HEADER], max_age=_VALID_SECONDS)}"
    except (KeyError, BadSignature):
        return None


@ratelimit(BUCKET, identity=run_of)
@never_cache
def probe(request: HttpRequest) -> JsonResponse:
    """Say whether the ticket is known, and to whoever has one the modes in force in this process."""
    run = run_of(request)
    if run is None:
        return JsonResponse({"run": None})
    policies = state_of(request).limiter.config.policies
    return JsonResponse({"run": run, "modes": {name: policy.mode for name, policy in policies.items()}})
