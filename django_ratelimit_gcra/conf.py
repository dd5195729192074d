"""Django settings over environment variables over `BASE_DIR/.env`, as one `Config`; and the door's own settings.

A setting of the door's own is an `Own`, listed in OWN_SETTINGS: what is listed is known, read and checked at the start
with all others, so that a typo stops it, and shown by `ratelimit_status`. `conf.METRICS.value()` is its value now.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

import environ
from django.conf import settings

from ratelimit_core import Config, ConfigurationError
from ratelimit_core.parsing import canonical_name, parse_bool

PREFIX = "RATE_LIMIT_"
_SHORTEST_TOKEN = 16
_MOST_DAYS = 3650

Value_co = TypeVar("Value_co", covariant=True)


class Identities(StrEnum):
    """How records spell identities; arrival samples only ever carry keyed hashes."""

    PLAIN = "plain"
    HASHED = "hashed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Own(Generic[Value_co]):
    """One setting that this door reads itself: what it is when unset, and who reads it.

    `read` is given the raw value and the setting's name and raises ConfigurationError. A `secret` is never shown.
    """

    name: str
    default: Value_co
    read: Callable[[object, str], Value_co]
    secret: bool = False

    def value(self) -> Value_co:
        """The value as the settings stand now; raises ConfigurationError."""
        given = getattr(settings, self.name, None)
        return self.among({self.name: given} if given is not None else read_environment())

    def among(self, given: Mapping[str, object]) -> Value_co:
        """The value among raw ones; what is None or blank is unset."""
        raw = given.get(self.name)
        return self.default if raw is None or not str(raw).strip() else self.read(raw, self.name)


def _token(value: object, setting: str) -> str:
    """A secret that fits a header, long enough that nobody guesses it; an error does not repeat it."""
    text = str(value).strip()
    if len(text) < _SHORTEST_TOKEN or not all("!" <= character <= "~" for character in text):
        accepted = (
            f"at least {_SHORTEST_TOKEN} visible ASCII characters without spaces, such as what "
            "python -c 'import secrets; print(secrets.token_urlsafe())' prints"
        )
        raise ConfigurationError(setting, f"({len(text)} characters)", accepted)
    return text


def _identities(value: object, setting: str) -> Identities:
    try:
        return Identities(str(value).strip().lower())
    except ValueError:
        raise ConfigurationError(setting, value, "'plain', 'hashed' or 'none'") from None


def _days(value: object, setting: str) -> int:
    text = "" if isinstance(value, bool) else str(value).strip()
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_DAYS):
        raise ConfigurationError(setting, value, f"a whole number of days, 1 to {_MOST_DAYS}")
    return int(text)


METRICS = Own("RATE_LIMIT_METRICS", default=False, read=parse_bool)
METRICS_TOKEN: Own[str | None] = Own("RATE_LIMIT_METRICS_TOKEN", default=None, read=_token, secret=True)
RECORD = Own("RATE_LIMIT_RECORD", default=True, read=parse_bool)
RECORD_IDENTITIES = Own("RATE_LIMIT_RECORD_IDENTITIES", default=Identities.PLAIN, read=_identities)
RECORD_DAYS = Own("RATE_LIMIT_RECORD_DAYS", default=14, read=_days)

OWN_SETTINGS: Mapping[str, Own[object]] = MappingProxyType(
    {own.name: own for own in (METRICS, METRICS_TOKEN, RECORD, RECORD_IDENTITIES, RECORD_DAYS)}
)
"""Every setting that this door reads itself, beside those of the core."""


def read_config() -> Config:
    """The configuration as the settings stand now; raises ConfigurationError, for the door's own settings too."""
    named = {name: getattr(settings, name) for name in dir(settings) if name.startswith(PREFIX)}
    environment = read_environment()
    given = {**environment, **{name: value for name, value in named.items() if value is not None}}
    for own in OWN_SETTINGS.values():
        own.among(given)
    return Config.from_settings(named, environment, also_known=OWN_SETTINGS)


def read_environment() -> dict[str, str]:
    """The RATE_LIMIT_* variables as raw text; the process's own beat those of `BASE_DIR/.env`, if there is one."""

    class Variables(environ.Env):  # type: ignore[misc]  # django-environ has no types
        """A copy: reading `.env` must not change the variables of the process."""

        ENVIRON = dict(os.environ)

    base_dir = getattr(settings, "BASE_DIR", None)
    if base_dir is not None:
        Variables.read_env(Path(base_dir) / ".env")
    return {name: text for name, text in Variables.ENVIRON.items() if name.startswith(PREFIX)}


def sources() -> dict[str, str]:
    """Where each value that is given comes from: `setting`, `variable` or `.env`, and under which alias."""
    given = {name: ".env" for name, text in read_environment().items() if text.strip()}
    given |= {name: "variable" for name in given if os.environ.get(name, "").strip()}
    given |= {
        name: "setting" for name in dir(settings) if name.startswith(PREFIX) and getattr(settings, name) is not None
    }
    names = {name: canonical_name(name) for name in sorted(given, key=lambda name: given[name] == "setting")}
    return {known: given[name] if name == known else f"{given[name]} {name}" for name, known in names.items()}
