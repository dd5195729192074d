"""The tests' own servers do what the tests believe they do."""

import os
from collections.abc import Callable

import pytest
import redis

from tests.servers import RedisServer, ServerUnderTest

PrivateRedis = Callable[[], RedisServer]


def test_a_shared_server_is_empty_and_counts_from_zero(redis_server: ServerUnderTest) -> None:
    assert redis_server.keys() == {}
    with redis_server.client() as client:
        client.set("a", "1", px=60_000)
        client.set("b", "2")
    assert redis_server.commandstats()["set"] == 2
    left = redis_server.keys()
    assert 0 < left["a"] <= 60_000
    assert left["b"] == -1


def test_a_monitor_sees_what_clients_send_and_not_what_scripts_do(redis_server: ServerUnderTest) -> None:
    with redis_server.client() as client, redis_server.monitor() as seen:
        client.eval("redis.call('SET', KEYS[1], 'x y') return 1", 1, 'quoted "key"')
        client.get("a")
    assert seen.names() == ["EVAL", "GET"]
    assert seen.commands[-1] == ("GET", "a")


def test_a_frozen_server_keeps_connections_and_answers_after_the_thaw(private_redis: PrivateRedis) -> None:
    server = private_redis()
    with server.client() as client:
        client.set("a", "1")
        server.freeze()
        with (
            redis.Redis.from_url(server.url, socket_timeout=0.05, retry=None) as other,
            pytest.raises(redis.exceptions.TimeoutError),
        ):
            other.ping()
        server.thaw()
        assert client.get("a") == "1"


def test_a_killed_server_refuses_and_comes_back_empty_on_its_port(private_redis: PrivateRedis) -> None:
    server = private_redis()
    with server.client() as client:
        client.set("a", "1")
        server.kill()
        with pytest.raises(redis.exceptions.ConnectionError):
            client.ping()
        server.start()
        assert client.get("a") is None


def test_a_server_listens_on_a_unix_socket_too(private_redis: PrivateRedis) -> None:
    server = private_redis()
    with redis.Redis.from_url(server.unix_url) as client:
        assert client.ping()


def test_a_frozen_server_can_be_killed(private_redis: PrivateRedis) -> None:
    server = private_redis()
    server.freeze()
    server.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(server.process.pid, 0)
