"""`subject`: a store of every kind; `server`: fakeredis and a real one, for what only a Redis has."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ratelimit_core.stores import MemoryStore
from ratelimit_core.stores.redis import RedisStore
from ratelimit_core.testing import ManualClock
from tests.servers import ServerUnderTest
from tests.stores.fake_server import FakeServer
from tests.stores.subjects import START_US, Subject

KINDS = ("memory", "fake", "redis")
FACES = ("sync", "async")

# Sixty threads or a busy machine are no fault of the store: these tests ask what it answers, not how fast.
PATIENCE_US = 20_000_000


@pytest.fixture(scope="session")
def fake_server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def _subject(name: str, request: pytest.FixtureRequest, stack: ExitStack) -> Subject:
    kind, face = name.split("-")
    clock = ManualClock(START_US)
    runner = stack.enter_context(asyncio.Runner()) if face == "async" else None
    if kind == "memory":
        return Subject(MemoryStore(clock), clock, runner)
    if kind == "fake":
        fake: FakeServer = request.getfixturevalue("fake_server")
        url, client = fake.url, fake.client()
        client.flushall()
    else:
        real: ServerUnderTest = request.getfixturevalue("redis_server")
        url = real.url
        client = stack.enter_context(real.client())
        client.connection_pool.connection_kwargs["decode_responses"] = False
    store = RedisStore(url, clock, deadline_us=PATIENCE_US, patient_deadline_us=PATIENCE_US)
    stack.callback(store.close)
    return Subject(store, clock, runner, client)


@pytest.fixture(params=[f"{kind}-{face}" for kind in KINDS for face in FACES])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Every kind of store, through both faces."""
    with ExitStack() as stack:
        yield _subject(request.param, request, stack)


@pytest.fixture(params=KINDS)
def sync_subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Every kind of store through its sync face: for properties, which ask much."""
    with ExitStack() as stack:
        yield _subject(f"{request.param}-sync", request, stack)


@pytest.fixture(params=[f"{kind}-{face}" for kind in KINDS[1:] for face in FACES])
def redis_subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """What speaks Redis, through both faces."""
    with ExitStack() as stack:
        yield _subject(request.param, request, stack)


@pytest.fixture
def all_subjects(request: pytest.FixtureRequest) -> Iterator[tuple[Subject, ...]]:
    """One of each kind, to compare."""
    with ExitStack() as stack:
        yield tuple(_subject(f"{kind}-sync", request, stack) for kind in KINDS)
