"""Where budgets are kept: in this process's memory, or on Redis."""

from ratelimit_core.clock import Clock
from ratelimit_core.drive import Store
from ratelimit_core.errors import ConfigurationError
from ratelimit_core.stores.memory import MemoryStore
from ratelimit_core.stores.urls import redacted

__all__ = ["MemoryStore", "Store", "store_from_url"]

_REDIS = ("redis", "rediss", "unix")
_LATER = ("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")


def store_from_url(url: str, clock: Clock | None = None) -> Store:
    """The store that a URL names; raises ConfigurationError for one that can't be had."""
    scheme, found, _ = url.partition("://")
    if url == "memory://":
        return MemoryStore(clock)
    if scheme in _LATER:
        raise ConfigurationError(
            "RATE_LIMIT_STORE_URL", f"{scheme}://...", "Cluster and Sentinel are not supported yet; use a single node"
        )
    if scheme not in _REDIS or not found:
        raise ConfigurationError("RATE_LIMIT_STORE_URL", redacted(url), "memory://, redis://, rediss:// or unix://")
    try:
        from ratelimit_core.stores.redis import RedisStore
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "RATE_LIMIT_STORE_URL", f"{scheme}://...", "install redis-py: pip install 'django-ratelimit-gcra[redis]'"
        ) from error
    return RedisStore.from_url(url, clock)
