"""The mark by which processes tell each other that a policy was changed, beside the connections of requests."""

import os
import time
from collections.abc import Callable, Iterator

import pytest

from ratelimit_core.stores.redis import RedisStore
from tests.servers import RedisServer, ServerUnderTest

KEY = "shop:policy"


@pytest.fixture
def store(redis_server: ServerUnderTest) -> Iterator[RedisStore]:
    store = RedisStore(redis_server.url, patient_deadline_us=20_000_000)
    yield store
    store.close()


def test_every_signal_changes_the_mark_for_every_process(store: RedisStore, redis_server: ServerUnderTest) -> None:
    other = RedisStore(redis_server.url, patient_deadline_us=20_000_000)
    marks = [other.signalled(KEY)]
    for _ in range(3):
        assert store.signal(KEY)
        marks.append(other.signalled(KEY))
        assert store.signalled(KEY) == marks[-1]
    assert marks[0] == b""
    assert len(set(marks)) == 4
    other.close()


def test_a_server_that_forgot_everything_shows_a_mark_that_was_never_there(
    store: RedisStore, redis_server: ServerUnderTest
) -> None:
    """A counter would count the same number again, and the change would be missed."""
    store.signal(KEY)
    before = store.signalled(KEY)
    with redis_server.client() as client:
        client.flushdb()
    store.signal(KEY)
    assert store.signalled(KEY) != before


def test_looking_keeps_one_connection(store: RedisStore, redis_server: ServerUnderTest) -> None:
    with redis_server.client() as client:
        store.signalled(KEY)
        before = client.info("stats")["total_connections_received"]
        for _ in range(5):
            store.signalled(KEY)
        assert client.info("stats")["total_connections_received"] == before


def test_a_mark_that_was_set_stays(store: RedisStore, redis_server: ServerUnderTest) -> None:
    store.signal(KEY)
    assert redis_server.keys() == {KEY: -1}


def test_a_killed_server_is_no_error_and_is_asked_again(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    store = RedisStore(server.url, patient_deadline_us=20_000_000)
    assert store.signal(KEY)
    server.kill()
    assert store.signalled(KEY) is None
    assert not store.signal(KEY)
    assert store.eviction_policy() is None
    server.start()
    assert store.signal(KEY)
    assert store.describe()["breaker"] == "closed"


def test_a_signal_goes_through_although_the_server_closed_the_line(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    store = RedisStore(server.url, patient_deadline_us=20_000_000)
    store.signal(KEY)
    server.restart()
    assert store.signal(KEY)


def test_a_frozen_server_costs_a_deadline_a_question(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    store = RedisStore(server.url)
    assert store.signalled(KEY) == b""
    server.freeze()
    started_s = time.monotonic()
    assert store.signalled(KEY) is None
    assert time.monotonic() - started_s < 5 * 0.5
    server.thaw()


def test_a_child_of_a_fork_has_a_line_of_its_own(store: RedisStore) -> None:
    store.signal(KEY)
    mark = store.signalled(KEY)
    store._line._lock.acquire()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os.write(write, bytes([store.signalled(KEY) == mark]))
        os._exit(0)
    os.waitpid(child, 0)
    store._line._lock.release()
    assert os.read(read, 1) == b"\x01"
