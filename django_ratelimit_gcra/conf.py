"""Django settings over environment variables over `BASE_DIR/.env`, as one `Config`."""

import os
from pathlib import Path

import environ
from django.conf import settings

from ratelimit_core import Config
from ratelimit_core.parsing import canonical_name

PREFIX = "RATE_LIMIT_"

# Settings that this door reads itself, beside those of the core.
OWN_SETTINGS: frozenset[str] = frozenset()


def read_config() -> Config:
    """The configuration as the settings stand now; raises ConfigurationError."""
    named = {name: getattr(settings, name) for name in dir(settings) if name.startswith(PREFIX)}
    return Config.from_settings(named, read_environment(), also_known=OWN_SETTINGS)


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
