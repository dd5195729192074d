"""Another database for a test than the one that pytest-django made: real transactions, seen by every thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections

_migrated: set[tuple[str, str]] = set()


@contextmanager
def installed(settings: dict[str, Any]) -> Iterator[None]:
    """Within the block `default` is the database of these settings, in every thread; migrated, and empty after."""
    place = settings["NAME"], settings.get("PORT", "")
    with unmigrated(settings):
        if place not in _migrated:
            call_command("migrate", verbosity=0)
            _migrated.add(place)
        yield
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=True)


@contextmanager
def unmigrated(settings: dict[str, Any]) -> Iterator[None]:
    """The same as it is found; within a test's transaction, too."""
    configured = connections.configure_settings({DEFAULT_DB_ALIAS: settings})[DEFAULT_DB_ALIAS]
    before = connections.settings[DEFAULT_DB_ALIAS], connections[DEFAULT_DB_ALIAS]
    connections.settings[DEFAULT_DB_ALIAS] = configured
    del connections[DEFAULT_DB_ALIAS]
    try:
        yield
    finally:
        connections[DEFAULT_DB_ALIAS].close()
        connections.settings[DEFAULT_DB_ALIAS], connections[DEFAULT_DB_ALIAS] = before
