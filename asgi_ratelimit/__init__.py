"""A rate limiter's door for any ASGI application: `app = RateLimitMiddleware(app, rules=[...])`.

While a shielded request runs, `release(scope, reason)`, `idempotency_key(scope, secret)` and `still_held(scope)` are
there for the application. For FastAPI there is a dependency besides, in `asgi_ratelimit.fastapi`.
"""

from asgi_ratelimit.middleware import RateLimitMiddleware
from asgi_ratelimit.shields import idempotency_key, release, still_held
from ratelimit_core import Rule

__all__ = ["RateLimitMiddleware", "Rule", "idempotency_key", "release", "still_held"]
