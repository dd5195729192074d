"""The process's limiter: one per configuration, built when first needed.

Settings that change (which only tests do) drop it; its store stays while the store's URL does, so that a switched
setting resets no budget. What was changed at run time (`adopt`) is laid over the settings; a change that has an end
ends by this process's own clock, whatever has become of the database meanwhile.
"""

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from threading import Lock

from django.core.signals import setting_changed
from django.dispatch import receiver

from django_ratelimit_gcra import sinks as chosen
from django_ratelimit_gcra.conf import PREFIX, read_config
from django_ratelimit_gcra.layers import Layer, laid_over
from ratelimit_core import Config, Limiter, Sink
from ratelimit_core.stores import Store, store_from_url


class _Runtime:
    """What the process has built so far."""

    def __init__(self, sinks: Iterable[Sink] = (), layers: Iterable[Layer] = ()) -> None:
        self._lock = Lock()
        self._sinks = tuple(sinks)
        self._layers = tuple(layers)
        self._told: tuple[Sink, ...] = ()
        self._base: tuple[Config, Limiter] | None = None
        self._limiter: Limiter | None = None
        self._until_s: float | None = None
        self._store: tuple[str, Store] | None = None

    def limiter(self) -> Limiter:
        limiter = self._limiter
        if limiter is None or (self._until_s is not None and time.time() >= self._until_s):
            return self._build()
        return limiter

    def base(self) -> Config:
        with self._lock:
            return self._founded()[0]

    def use_sinks(self, sinks: Iterable[Sink]) -> None:
        with self._lock:
            self._sinks = tuple(sinks)
            self._base = self._limiter = None

    def announce(self, config: Config) -> None:
        chosen.announce(self._told, config)

    def adopt(self, layers: Iterable[Layer]) -> None:
        with self._lock:
            self._layers = tuple(layers)
            self._limiter = self._made()

    def layers(self) -> tuple[Layer, ...]:
        now = _now()
        return tuple(layer for layer in self._layers if layer.stands(now))

    def drop(self) -> None:
        with self._lock:
            self._base = self._limiter = None

    def after_fork(self) -> None:
        """Start afresh: another thread may have held this lock, or the store's, when the process was copied."""
        self.__init__(self._sinks, self._layers)  # type: ignore[misc]  # every name that refers to it must see it

    def _build(self) -> Limiter:
        with self._lock:
            if self._limiter is None or (self._until_s is not None and time.time() >= self._until_s):
                self._limiter = self._made()
            return self._limiter

    def _made(self) -> Limiter:
        """The limiter of the settings, or one that shares everything with it but the configuration."""
        config, limiter = self._founded()
        standing = self.layers()
        ends = [layer.expires.timestamp() for layer in standing if layer.expires is not None]
        self._until_s = min(ends, default=None)
        made = limiter.using(laid_over(config, standing)) if standing else limiter
        self.announce(made.config)
        return made

    def _founded(self) -> tuple[Config, Limiter]:
        if self._base is None:
            config = read_config()
            store = self._store_at(config.store_url)
            self._told = (*chosen.default_sinks(config), *self._sinks)
            self._base = config, Limiter(config, store, self._told)
        return self._base

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


def base_config() -> Config:
    """The configuration of the settings, without what was changed at run time; raises ConfigurationError."""
    return _runtime.base()


def adopt(layers: Iterable[Layer]) -> None:
    """From now on these changes, newest first, are laid over the settings in this process."""
    _runtime.adopt(layers)


def layers() -> tuple[Layer, ...]:
    """The changes in force in this process, newest first."""
    return _runtime.layers()


def use_sinks(*sinks: Sink) -> None:
    """From now on these sinks, beside those that the settings ask for, are told what happens in this process."""
    _runtime.use_sinks(sinks)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def announce(config: Config) -> None:
    """Tell the sinks that this configuration is in force now: for who changes it while the process runs."""
    _runtime.announce(config)


@receiver(setting_changed, dispatch_uid=__name__)
def _forget(*, setting: str, **_: object) -> None:
    if setting.startswith(PREFIX) or setting == "BASE_DIR":
        _runtime.drop()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_runtime.after_fork)
