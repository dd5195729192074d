"""Metrics for Prometheus; the only module that imports prometheus_client. What each means stands in `families`.

With several processes (gunicorn) set PROMETHEUS_MULTIPROC_DIR, for the server only, to a directory that is empty when
it starts. A process that ends takes its gauges with it; for one that is killed gunicorn's `child_exit` must do it:

    def child_exit(server, worker):
        prometheus_client.multiprocess.mark_process_dead(worker.pid)
"""

import atexit
import os
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ratelimit_core import families as known
from ratelimit_core.config import Config, Policy
from ratelimit_core.decision import Verdict, seconds
from ratelimit_core.errors import ConfigurationError
from ratelimit_core.events import OPS, DecisionEvent, Event, SettleEvent, StoreEvent

_PLACE = "PROMETHEUS_MULTIPROC_DIR"
_ATTRIBUTE = "_ratelimit_core_metrics"

_Inc = Callable[[], None]
_Observe = Callable[[float], None]


class _Series(NamedTuple):
    """One bucket's series: `requests[enforced][blocked]`, its waits, its decisions without the store."""

    requests: tuple[tuple[_Inc, _Inc], tuple[_Inc, _Inc]]
    wait: _Observe
    degraded: _Inc
    leased: bool
    shielded: bool


class _Metrics:
    """Every metric on one registry, made once; what is known beforehand stands at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lock = Lock()
        self.requests = _counter(known.REQUESTS, registry)
        self.waits = _histogram(known.WAITS, registry)
        self.leases = _counter(known.LEASES, registry)
        self.hits = _counter(known.HITS, registry).inc
        self.misses = _counter(known.MISSES, registry).inc
        self.idempotency = _incs(_counter(known.IDEMPOTENCY, registry), known.OUTCOMES)
        calls = _histogram(known.CALLS, registry)
        self.calls: dict[str, _Observe] = {op: calls.labels(op).observe for op in OPS.values()}
        self.errors = _incs(_counter(known.ERRORS, registry), known.KINDS)
        self.degraded = _counter(known.DEGRADED, registry)
        self.lost = _counter(known.LOST, registry).inc
        self.breaker = _gauge(known.BREAKER, registry)
        self.dropped = _counter(known.DROPPED, registry).inc
        self.policies = _gauge(known.POLICIES, registry)
        _gauge(known.BUILD, registry).labels(_version()).set(1)
        self.in_force: frozenset[tuple[str, ...]] = frozenset()
        self.routes: dict[str | None, _Inc] = {known.OTHER: self.leases.labels(known.OTHER).inc}
        self.opened = False

    def route(self, route: str | None) -> _Inc:
        """A route's counter; `other` once there are many."""
        found = self.routes.get(route)
        if found is None:
            with self.lock:
                if len(self.routes) > known.MOST_ROUTES:
                    return self.routes[known.OTHER]
                found = self.routes.setdefault(route, self.leases.labels(_legible(route)).inc)
        return found

    def series(self, bucket: str, policy: Policy | None) -> _Series:
        """A bucket's series."""

        def pair(shadow: str) -> tuple[_Inc, _Inc]:
            return tuple(self.requests.labels(bucket, shadow, blocked).inc for blocked in ("false", "true"))  # type: ignore[return-value]  # of two

        store_down = known.UNKNOWN if policy is None else policy.bucket.store_down.value
        return _Series(
            (pair("true"), pair("false")),
            self.waits.labels(bucket).observe,
            self.degraded.labels(bucket, store_down).inc,
            policy is not None and policy.bucket.concurrency is not None,
            policy is None or policy.bucket.shielded,
        )

    def announce(self, policies: Iterable[Policy]) -> None:
        """Show these policies as those in force."""
        now = frozenset(_policy_labels(policy) for policy in policies)
        with self.lock:
            for gone in self.in_force - now:
                self.policies.labels(*gone).set(0)
            for found in now:
                self.policies.labels(*found).set(1)
            self.in_force = now

    def breaker_is(self, *, opened: bool) -> None:
        """Show the state of the breaker."""
        with self.lock:
            self.opened = opened
            self.breaker.set(opened)


_making = Lock()


class PrometheusSink:
    """A sink that counts events on a registry of prometheus_client, without one on its default registry.

    Nothing is registered before this is called; calling it again, with the same registry, goes on with what is there.
    Raises ConfigurationError if PROMETHEUS_MULTIPROC_DIR names no directory.
    """

    def __init__(self, config: Config, registry: CollectorRegistry | None = None) -> None:
        self._metrics = _metrics(REGISTRY if registry is None else registry)
        self._series: dict[str, _Series] = {}
        self.policy(config)

    def policy(self, config: Config) -> None:
        """Say that this configuration is in force now."""
        self._series = {name: self._metrics.series(name, policy) for name, policy in config.policies.items()}
        self._metrics.announce(config.policies.values())

    def dropped(self, number: int) -> None:
        """Count events that the records of decisions could not keep."""
        self._metrics.dropped(number)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, DecisionEvent):
            self._decided(event)
        elif isinstance(event, StoreEvent):
            self._called(event)
        elif isinstance(event, SettleEvent):
            self._ended(event)

    def _decided(self, event: DecisionEvent) -> None:
        verdict = event.verdict
        if verdict is Verdict.USER_REQUIRED:
            return
        series = self._series.get(event.bucket) or self._unheard_of(event.bucket)
        series.requests[event.enforced][event.blocked]()
        if event.degraded:
            series.degraded()
        if event.blocked and event.wait_us:
            series.wait(seconds(event.wait_us))
        if series.shielded:
            self._shielded(series, event)

    def _shielded(self, series: _Series, event: DecisionEvent) -> None:
        """What became of lease and record; of the record only if it was asked for in earnest."""
        metrics, verdict = self._metrics, event.verdict
        if series.leased:
            blocked = metrics.route(event.route)  # at 0 from the route's first request on
            if verdict is Verdict.CONCURRENCY_LIMITED:
                blocked()
        if not event.enforced:
            return
        if event.claimed:
            metrics.misses()
        elif verdict in known.LOOKUPS:
            metrics.idempotency[known.LOOKUPS[verdict]]()
            if verdict is Verdict.REPLAY:
                metrics.hits()

    def _ended(self, event: SettleEvent) -> None:
        if event.observed:
            return
        if event.claimed:
            self._metrics.idempotency[known.ENDINGS[event.outcome]]()
        if event.lost:
            self._metrics.lost()

    def _called(self, event: StoreEvent) -> None:
        metrics = self._metrics
        if event.error is None:
            metrics.calls[event.op](event.seconds)
            if metrics.opened:
                metrics.breaker_is(opened=False)
            return
        metrics.errors.get(event.error, metrics.errors[known.OTHER])()
        if event.error == "breaker_open":
            metrics.breaker_is(opened=True)
        else:
            metrics.calls[event.op](event.seconds)

    def _unheard_of(self, bucket: str) -> _Series:
        """A bucket of another configuration than ours: its names are written in code or settings, too."""
        series = self._series[bucket] = self._metrics.series(bucket, None)
        return series


def exposition(registry: CollectorRegistry | None = None, accept: str = "") -> tuple[str, bytes]:
    """What a scrape is answered: content type and body, in the format that its `Accept` prefers.

    With PROMETHEUS_MULTIPROC_DIR these are the metrics of all processes, whatever the registry.
    """
    encode, content_type = choose_encoder(accept)
    chosen = REGISTRY if registry is None else registry
    if _check_place():
        chosen = CollectorRegistry()
        MultiProcessCollector(chosen)  # type: ignore[no-untyped-call]  # prometheus_client's own
    return content_type, encode(chosen)


def _metrics(registry: CollectorRegistry) -> _Metrics:
    """Kept on the registry itself: it lives as long, and a reloaded module finds it."""
    place = _check_place()
    with _making:
        made: _Metrics | None = vars(registry).get(_ATTRIBUTE)
        if made is None:
            made = _Metrics(registry)
            setattr(registry, _ATTRIBUTE, made)
            if place is not None:
                atexit.register(_leave, place)
        return made


def _leave(place: str) -> None:
    """Say no more what is so in this process; what it counted stays."""
    mark_process_dead(os.getpid(), place)  # type: ignore[no-untyped-call]  # prometheus_client's own


def _check_place() -> str | None:
    """The directory that several processes share, if they do."""
    place = os.environ.get(_PLACE)
    if place is not None and not Path(place).is_dir():
        raise ConfigurationError(_PLACE, place, "a directory that exists, and is empty when the server starts")
    return place


def _counter(family: known.Family, registry: CollectorRegistry) -> Counter:
    return Counter(family.name, family.help, family.labels, registry=registry)


def _histogram(family: known.Family, registry: CollectorRegistry) -> Histogram:
    return Histogram(family.name, family.help, family.labels, buckets=family.bounds, registry=registry)


def _gauge(family: known.Family, registry: CollectorRegistry) -> Gauge:
    across: Any = family.across  # prometheus_client knows which there are
    return Gauge(family.name, family.help, family.labels, registry=registry, multiprocess_mode=across)


def _incs(counter: Counter, values: Iterable[str]) -> dict[str, _Inc]:
    return {value: counter.labels(value).inc for value in values}


def _policy_labels(policy: Policy) -> tuple[str, ...]:
    bucket = policy.bucket
    return bucket.name, policy.mode.value, ",".join(map(str, bucket.quotas)), bucket.store_down.value


def _legible(route: str | None) -> str:
    """A template as a label: one that is too long or no UTF-8 must not break every scrape."""
    return known.UNKNOWN if route is None else route[: known.LONGEST_ROUTE].encode("utf-8", "replace").decode()


def _version() -> str:
    """As installed; from a copy of the sources nobody knows."""
    return next((found.version for found in metadata.distributions(name="django-ratelimit-gcra")), known.UNKNOWN)
