"""An admission that every sink is told of, beside one that nobody is told of: on Redis, and in memory.

A sink costs a tenth of what a busy machine's moods do, so turns are short and there are many of them.
"""

import asyncio
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from ratelimit_core import Limiter, Sink
from ratelimit_core.logsink import LogSink
from ratelimit_core.metrics import PrometheusSink
from ratelimit_core.stores import MemoryStore, Store
from ratelimit_core.stores.redis import RedisStore
from tests.benchmarks.admit import CONFIG, HOT, admitting, tasks_of
from tests.benchmarks.measure import Line, compare
from tests.servers import RedisServer

ALONE = "the same without a sink"
TURN = 50
TURNS = 8


def run(rounds: int) -> list[Line]:
    """Every line; starts a server of its own."""
    with tempfile.TemporaryDirectory() as place, RedisServer(Path(place)) as server:
        lines = [line for name in SINKS for line in told(name, server.url, rounds)]
        lines += in_a_loop(server.url, rounds)
    return lines + in_memory(rounds)


def metrics() -> list[Sink]:
    return [PrometheusSink(CONFIG, CollectorRegistry())]


def log() -> list[Sink]:
    """A log that is written, and by whom costs nothing."""
    logger = logging.getLogger("of.the.benchmark")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
    return [LogSink(logger)]


def everything() -> list[Sink]:
    return [*metrics(), *log()]


SINKS: dict[str, Callable[[], list[Sink]]] = {"metrics": metrics, "log": log, "all sinks": everything}


def told(name: str, url: str, rounds: int) -> list[Line]:
    """One store each: connections are not shared."""
    lines = []
    for bucket in ("allowed", "refused"):
        limiters = [limiter(store(url), []), limiter(store(url), SINKS[name]())]
        alone, ours = (admitting(one, bucket) for one in limiters)
        lines.append(compare(f"Redis, {bucket}, {name}", ALONE, alone, ours, TURN, TURNS * rounds, "us"))
        for one in limiters:
            one.close()
    return lines


def in_a_loop(url: str, rounds: int) -> list[Line]:
    lines = []
    with asyncio.Runner() as runner:
        for tasks in (1, 32):
            alone, ours = limiter(store(url), []), limiter(store(url), everything())
            floor = tasks_of(runner, lambda one=alone: one.aadmit(HOT, "allowed"), tasks)  # type: ignore[misc]  # bound now
            work = tasks_of(runner, lambda one=ours: one.aadmit(HOT, "allowed"), tasks)  # type: ignore[misc]  # the same
            name = f"Redis, allowed, all sinks, asyncio, {tasks} task{'s' * (tasks > 1)}"
            lines.append(compare(name, ALONE, floor, work, TURN, TURNS * rounds, "us"))
            runner.run(alone.aclose())
            runner.run(ours.aclose())
    return lines


def in_memory(rounds: int) -> list[Line]:
    """What the sinks themselves cost, with next to nothing under them."""
    lines = []
    for bucket in ("allowed", "refused"):
        alone, ours = (admitting(limiter(MemoryStore(), given), bucket) for given in ([], everything()))
        lines.append(compare(f"memory, {bucket}, all sinks", ALONE, alone, ours, TURN, TURNS * rounds, "us"))
    return lines


def store(url: str) -> RedisStore:
    """A busy machine is no outage."""
    return RedisStore(url, deadline_us=5_000_000)


def limiter(store: Store, sinks: list[Sink]) -> Limiter:
    return Limiter(CONFIG, store, sinks)
