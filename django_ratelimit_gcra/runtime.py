"""The process's limiter: one per configuration, built when first needed.

Settings that change (which only tests do) drop it; its store stays while the store's URL does, so that a switched
setting resets no budget.
"""

import os
from collections.abc import Iterable
from threading import Lock

from django.core.signals import setting_changed
from django.dispatch import receiver

from django_ratelimit_gcra import sinks as chosen
from django_ratelimit_gcra.conf import PREFIX, read_config
from ratelimit_core import Config, Limiter, Sink
from ratelimit_core.stores import Store, store_from_url


class _Runtime:
    """What the process has built so far."""

    def __init__(self, sinks: Iterable[Sink] = ()) -> None:
        self._lock = Lock()
        self._sinks = tuple(sinks)
        self._told: tuple[Sink, ...] = ()
        self._limiter: Limiter | None = None
        self._store: tuple[str, Store] | None = None

    def limiter(self) -> Limiter:
        return self._limiter or self._build()

    def use_sinks(self, sinks: Iterable[Sink]) -> None:
        with self._lock:
            self._sinks = tuple(sinks)
            self._limiter = None

    def announce(self, config: Config) -> None:
        chosen.announce(self._told, config)

    def drop(self) -> None:
        with self._lock:
            self._limiter = None

    def after_fork(self) -> None:
        """Start afresh: another thread may have held this lock, or the store's, when the process was copied."""
        self.__init__(self._sinks)  # type: ignore[misc]  # every name that refers to this object must see it

    def _build(self) -> Limiter:
        with self._lock:
            self._limiter = self._limiter or self._made()
            return self._limiter

    def _made(self) -> Limiter:
        config = read_config()
        store = self._store_at(config.store_url)
        self._told = (*chosen.default_sinks(config), *self._sinks)
        return Limiter(config, store, self._told)

    def _store_at(self, url: str) -> Store:
        known = self._store
        if known is not None and known[0] == url:
            return known[1]
        store = store_from_url(url)
        self._store = url, store
        if known is not None:
            known[1].close()
        return store


_runtime = _Runtime()


def limiter() -> Limiter:
    """The limiter of this process and configuration; raises ConfigurationError."""
    return _runtime.limiter()


def use_sinks(*sinks: Sink) -> None:
    """From now on these sinks, beside those that the settings ask for, are told what happens in this process."""
    _runtime.use_sinks(sinks)


def announce(config: Config) -> None:
    """Tell the sinks that this configuration is in force now: for who changes it while the process runs."""
    _runtime.announce(config)


@receiver(setting_changed, dispatch_uid=__name__)
def _forget(*, setting: str, **_: object) -> None:
    if setting.startswith(PREFIX) or setting == "BASE_DIR":
        _runtime.drop()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_runtime.after_fork)
