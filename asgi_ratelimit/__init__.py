"""A rate limiter's door for any ASGI application: `app = RateLimitMiddleware(app, rules=[...])`.

For FastAPI there is a dependency besides, in `asgi_ratelimit.fastapi`.
"""

from asgi_ratelimit.middleware import RateLimitMiddleware
from ratelimit_core import Rule

__all__ = ["RateLimitMiddleware", "Rule"]
