"""System checks of settings and middleware; the other modules named ...checks look at the rest.

An id is stable and means one thing.

ratelimit.E001  a setting can't be used
ratelimit.E002  the middleware stands above authentication
ratelimit.E003  every address is a trusted proxy
ratelimit.W001  the middleware is missing
ratelimit.W002  the middleware is not the last
ratelimit.W003  budgets in the memory of each of several processes
ratelimit.W004  a proxy is likely, and none is trusted
"""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from django_ratelimit_gcra import corschecks, metricchecks, recordchecks, runtime, shieldchecks, viewchecks
from django_ratelimit_gcra.middleware import RateLimitMiddleware
from ratelimit_core import Config, ConfigurationError

TAG = "ratelimit"
_AUTHENTICATION = ("AuthenticationMiddleware", "RemoteUserMiddleware")
_PROXY_SETTINGS = ("SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT")
_COUNTS = ("WEB_CONCURRENCY", "UVICORN_WORKERS")
_WORKERS = re.compile(r"(?:^|\s)(?:-w[\s=]*|--workers[\s=]+)(\d+)")

Apps = Sequence[AppConfig] | None


@register(TAG)
def check_settings(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Report settings that can't be used, and those that probably don't mean what they say."""
    try:
        config = runtime.limiter().config
    except ConfigurationError as error:
        hint = "Change the setting, or the environment variable of the same name, to what is accepted."
        return [Error(str(error), hint=hint, id="ratelimit.E001")]
    several = metricchecks.of_processes(_said_processes(os.environ))
    return [*_memory(config), *_proxies(config), *shieldchecks.of_rules(config), *several]


@register(TAG)
def check_middleware(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Report where the middleware stands, if not last, and what it leaves scripts of other origins to read."""
    return [*_position(), *_cross_origin()]


def _position() -> list[CheckMessage]:
    below = _below()
    if below is None:
        hint = f"Add '{_path(RateLimitMiddleware)}' at the end of MIDDLEWARE: without it only decorators limit."
        return [CheckWarning("RateLimitMiddleware is missing.", hint=hint, id="ratelimit.W001")]
    if not below:
        return []
    names = ", ".join(_path(one) for one in below)
    if any(base.__name__ in _AUTHENTICATION for one in below for base in getattr(one, "__mro__", ())):
        hint = f"Move it to the end of MIDDLEWARE: what is answered between it and {names} is charged to addresses."
        return [Error("RateLimitMiddleware stands above authentication.", hint=hint, id="ratelimit.E002")]
    hint = f"Move it to the end of MIDDLEWARE: a view that {names} refuses is charged all the same."
    return [CheckWarning("RateLimitMiddleware is not the last middleware.", hint=hint, id="ratelimit.W002")]


@register(TAG)
def check_views(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Report what decorators, throttles and the URL conf say about each view."""
    try:
        config = runtime.limiter().config
    except ConfigurationError:
        return []  # check_settings reports it
    present = has_middleware()
    return [
        *viewchecks.messages(config, has_middleware=present),
        *shieldchecks.of_views(config, has_middleware=present),
        *recordchecks.messages(config),
        *metricchecks.of_views(),
    ]


@register(TAG, deploy=True)
def check_deployment(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Ask for a store that is shared and keeps what it is told.

    `check --deploy` runs beside the server, whose processes it can't count.
    """
    try:
        limiter = runtime.limiter()
    except ConfigurationError:
        return []
    config = limiter.config
    said = _said_processes(os.environ) is not None
    split = [] if said or not _in_memory(config) else [_split("A deployment usually runs several processes")]
    named = viewchecks.named_buckets(config)
    return [
        *split,
        *shieldchecks.of_memory(config, named),
        *shieldchecks.of_eviction(config, named, limiter.store),
    ]


def _cross_origin() -> Iterator[CheckMessage]:
    try:
        config = runtime.limiter().config
    except ConfigurationError:
        return  # check_settings reports it
    above, below = _split_middleware()
    yield from corschecks.messages(config, above, below, viewchecks.named_buckets(config))


def has_middleware() -> bool:
    """Whether the site runs RateLimitMiddleware."""
    return _below() is not None


def _below() -> list[object] | None:
    """What stands below the middleware; None where it is missing."""
    above, below = _split_middleware()
    return None if above is None else below


def _split_middleware() -> tuple[list[object] | None, list[object]]:
    """What stands above and below ours; where it is missing, None and all."""
    found = list(_middleware())
    for place, one in enumerate(found):
        if isinstance(one, type) and issubclass(one, RateLimitMiddleware):
            return found[:place], found[place + 1 :]
    return None, found


def _middleware() -> Iterator[object]:
    for path in settings.MIDDLEWARE:
        try:
            yield import_string(path)
        except ImportError:  # the server says so when it starts
            continue


def _path(one: object) -> str:
    return f"{getattr(one, '__module__', '')}.{getattr(one, '__qualname__', one)}"


def _memory(config: Config) -> Iterator[CheckMessage]:
    said = _said_processes(os.environ)
    if said is not None and _in_memory(config):
        yield _split(f"{said} asks for several processes")


def _in_memory(config: Config) -> bool:
    return config.store_url.startswith("memory:")


def _said_processes(environment: Mapping[str, str]) -> str | None:
    """The variable by which gunicorn or uvicorn is told to run several processes.

    DEBUG is no sign of anything: test runners switch it off, and a site behind several workers may have it on.
    """
    for name in _COUNTS:
        text = environment.get(name, "").strip()
        if text.isdecimal() and int(text) > 1:
            return f"{name}={text}"
    workers = _WORKERS.search(environment.get("GUNICORN_CMD_ARGS", ""))
    return None if workers is None or int(workers[1]) < 2 else f"GUNICORN_CMD_ARGS with {workers[0].strip()}"


def _split(reason: str) -> CheckMessage:
    return CheckWarning(
        f"{reason}, and RATE_LIMIT_STORE_URL is memory://: each process admits the full limit.",
        hint="Set RATE_LIMIT_STORE_URL to redis://..., which all processes share.",
        id="ratelimit.W003",
    )


def _proxies(config: Config) -> Iterator[CheckMessage]:
    open_to = _everybody(config.trusted_proxies)
    if open_to:
        yield Error(
            f"RATE_LIMIT_TRUSTED_PROXIES trusts every address ({', '.join(open_to)}): each client chooses its own.",
            hint="Name the networks of your proxies, or 'private'.",
            id="ratelimit.E003",
        )
    signs = [name for name in _PROXY_SETTINGS if getattr(settings, name, None)]
    if signs and not config.trusted_proxies:
        yield CheckWarning(
            f"{', '.join(signs)} tells of a proxy, but RATE_LIMIT_TRUSTED_PROXIES is empty: "
            "all anonymous clients share the proxy's address.",
            hint="Set RATE_LIMIT_TRUSTED_PROXIES to the proxy's network, such as '10.0.0.0/8', 'private' or 'unix'.",
            id="ratelimit.W004",
        )


def _everybody(trusted: Sequence[str]) -> list[str]:
    """The networks that, taken together, are all of IPv4 or all of IPv6."""
    networks = [ipaddress.ip_network(name) for name in trusted if name not in ("private", "unix")]
    v4 = [net for net in networks if isinstance(net, ipaddress.IPv4Network)]
    v6 = [net for net in networks if isinstance(net, ipaddress.IPv6Network)]
    merged = [*map(str, ipaddress.collapse_addresses(v4)), *map(str, ipaddress.collapse_addresses(v6))]
    return [net for net in merged if net.endswith("/0")]
