"""A store's URL: which part of it is this store's own, what is wrong with it, and what of it may be shown."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from ratelimit_core.errors import ConfigurationError

SETTING = "RATE_LIMIT_STORE_URL"
_OWN_OPTIONS = ("deadline_ms", "patient_deadline_ms", "pool_size")
_READABLE = (
    "write redis://[[user]:password@]host[:port][/database], rediss://... or unix:///path/of/the/socket; "
    "percent-encode what is no letter or digit in a password"
)
_PASSWORD = re.compile(r"(?<=://)([^:/?#@]*):.*@")
_SECRET_OPTION = re.compile(r"(?i)([?&][^=&]*pass?w[^=&]*=)[^&#]*")


class Address(NamedTuple):
    """A URL without this store's own options, and those."""

    url: str
    options: dict[str, int]


def split(url: str) -> Address:
    """Take the store's own options off a URL; raises ConfigurationError for a URL that can't be read."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise bad(url) from None
    database = parts.path if parts.scheme in ("redis", "rediss") else ""
    if parts.fragment or port == 0 or not re.fullmatch(r"(/[0-9]*)?", database):
        raise bad(url)
    if parts.scheme == "unix" and (parts.path in ("", "/") or parts.hostname):
        raise bad(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([pair for pair in pairs if pair[0] not in _OWN_OPTIONS])
    base = url.partition("?")[0]
    return Address(
        f"{base}?{query}" if query else base, {name: _whole(name, text) for name, text in pairs if _own(name)}
    )


def bad(url: str, why: str = "") -> ConfigurationError:
    """The error about a URL, without its password."""
    return ConfigurationError(SETTING, redacted(url), f"{why}; {_READABLE}" if why else _READABLE)


def redacted(url: str) -> str:
    """A URL without its password, also one that can't be read because of its password."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def _own(name: str) -> bool:
    return name in _OWN_OPTIONS


def _whole(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"{SETTING}: {name}", text, "a whole number, at least 1")
    return int(text)
