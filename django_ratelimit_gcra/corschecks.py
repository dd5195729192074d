"""What `checks` says where django-cors-headers is in use: what scripts of other origins can neither read nor send.

ratelimit.W010  headers of the limiter that CORS_EXPOSE_HEADERS doesn't name
ratelimit.W011  Idempotency-Key is missing in CORS_ALLOW_HEADERS
ratelimit.W012  the limiter stands above the CORS middleware
"""

from collections.abc import Iterable, Iterator, Sequence

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning

from ratelimit_core import Config

_NUMBERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Policy")
_DRAFT = ("RateLimit", "RateLimit-Policy")
_REPLAYED = "Idempotent-Replayed"
_KEY = "Idempotency-Key"


def messages(
    config: Config, above: Sequence[object] | None, below: Sequence[object], named: frozenset[str]
) -> Iterator[CheckMessage]:
    """What is said with these middlewares `above` the limiter's (None: it is missing) and `below` it.

    `named` are the buckets that views and rules ask for: without idempotency among them, nobody needs a key.
    """
    over = any(map(_is_cors, above or ()))
    if not over and not any(map(_is_cors, below)):
        return
    keyed = any(config.policies[name].bucket.idempotency is not None for name in named if name in config.policies)
    yield from _unexposed(config, keyed)
    if keyed and not _holds("CORS_ALLOW_HEADERS", _KEY):
        yield CheckWarning(
            f"CORS_ALLOW_HEADERS lacks {_KEY}: a browser lets no script of another origin send one, and its payments "
            "are told apart by their bodies.",
            hint=f"CORS_ALLOW_HEADERS = [*corsheaders.defaults.default_headers, '{_KEY.lower()}']",
            id="ratelimit.W011",
        )
    if above is not None and not over:
        yield CheckWarning(
            "RateLimitMiddleware stands above CorsMiddleware: scripts of other origins can't read a refusal.",
            hint="Move 'corsheaders.middleware.CorsMiddleware' to the top of MIDDLEWARE, and the limiter to its end.",
            id="ratelimit.W012",
        )


def _unexposed(config: Config, keyed: bool) -> Iterator[CheckMessage]:
    wanted = ("Retry-After", *(_DRAFT if config.draft_fields else ()), *_NUMBERS, *((_REPLAYED,) if keyed else ()))
    missing = [name for name in wanted if not _holds("CORS_EXPOSE_HEADERS", name)]
    if missing:
        yield CheckWarning(
            f"CORS_EXPOSE_HEADERS lacks {', '.join(missing)}: scripts of other origins can't read when to come back.",
            hint=f"CORS_EXPOSE_HEADERS = {list(wanted)}",
            id="ratelimit.W010",
        )


def _holds(setting: str, name: str) -> bool:
    """Whether a list of headers names this one; the wildcard counts where no credentials are sent, as in a browser."""
    listed: Iterable[str] = getattr(settings, setting, ())
    names = {one.lower() for one in listed}
    return name.lower() in names or ("*" in names and not getattr(settings, "CORS_ALLOW_CREDENTIALS", False))


def _is_cors(middleware: object) -> bool:
    """Whether this is django-cors-headers' own, or a class made of it; it isn't imported: it may not be installed."""
    kinds = getattr(middleware, "__mro__", ())
    return any((kind.__module__, kind.__name__) == ("corsheaders.middleware", "CorsMiddleware") for kind in kinds)
