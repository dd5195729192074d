"""The URL of a store: what it may say, what is wrong with it, and that no message shows a password."""

import subprocess
import sys

import pytest

from ratelimit_core import Config, ConfigurationError, Limiter
from ratelimit_core.stores import MemoryStore, store_from_url
from ratelimit_core.stores.redis import RedisStore
from ratelimit_core.testing import ManualClock

READABLE = "write redis://"


def test_memory_is_a_store_of_this_process() -> None:
    store = store_from_url("memory://", ManualClock(17))
    assert isinstance(store, MemoryStore)
    assert Limiter(Config.default(), store=store).ping() == 17


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://", "redis://"),
        ("redis://localhost", "redis://localhost"),
        ("redis://localhost/", "redis://localhost/"),
        ("redis://[::1]:6380/3", "redis://[::1]:6380/3"),
        (
            "rediss://user:secret@cache.test:6380/0?ssl_cert_reqs=none",
            "rediss://user:***@cache.test:6380/0?ssl_cert_reqs=none",
        ),
        ("redis://:se%40cret@cache.test", "redis://:***@cache.test"),
        (
            "redis://cache.test?username=u&password=secret&client_name=me",
            "redis://cache.test?username=u&password=***&client_name=me",
        ),
        ("unix:///run/redis/redis.sock", "unix:///run/redis/redis.sock"),
        ("unix://:secret@/run/redis.sock?db=2", "unix://:***@/run/redis.sock?db=2"),
        ("redis://h/1?deadline_ms=20&pool_size=4&patient_deadline_ms=90&client_name=a", "redis://h/1?client_name=a"),
    ],
)
def test_a_url_names_a_store_and_is_shown_without_its_password(url: str, shown: str) -> None:
    store = store_from_url(url)
    assert isinstance(store, RedisStore)
    assert store.describe()["address"] == shown
    assert "secret" not in repr(store.describe())
    store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "memory://, redis://, rediss:// or unix://"),
        ("memory", "memory://, redis://, rediss:// or unix://"),
        ("memory://shared", "memory://, redis://, rediss:// or unix://"),
        ("redis", "memory://, redis://, rediss:// or unix://"),
        ("http://:secret@cache.test", "memory://, redis://, rediss:// or unix://"),
        ("REDIS:", "memory://, redis://, rediss:// or unix://"),
        ("redis+cluster://:secret@a:1,b:2", "Cluster and Sentinel are not supported yet"),
        ("rediss+cluster://a:1", "Cluster and Sentinel are not supported yet"),
        ("redis+sentinel://:secret@a:1/main", "Cluster and Sentinel are not supported yet"),
        ("rediss+sentinel://a:1/main", "Cluster and Sentinel are not supported yet"),
        ("redis://cache.test:port", READABLE),
        ("redis://cache.test:70000", READABLE),
        ("redis://cache.test:0", READABLE),
        ("redis://[::1", READABLE),
        ("redis://cache.test/main", READABLE),
        ("redis://cache.test/1/2", READABLE),
        ("redis://cache.test/-1", READABLE),
        ("redis://:secret#more@cache.test", READABLE),
        ("redis://:secret/more@cache.test", READABLE),
        ("redis://:secret?more@cache.test", READABLE),
        ("redis://user:sec@secret/ret@cache.test", READABLE),
        ("unix://", READABLE),
        ("unix:///", READABLE),
        ("unix://run/redis.sock", READABLE),
        ("redis://cache.test?nonsense=1", "nonsense"),
        ("redis://cache.test?pasword=secret", "pasword"),
        ("redis://cache.test?socket_timeout=soon", "socket_timeout"),
        ("redis://cache.test?protocol=7", "protocol"),
        ("redis://cache.test?deadline_ms=0", "deadline_ms = '0' can't be used: a whole number, at least 1"),
        ("redis://cache.test?pool_size=-1", "pool_size = '-1' can't be used: a whole number, at least 1"),
        (
            "redis://cache.test?patient_deadline_ms=",
            "patient_deadline_ms = '' can't be used: a whole number, at least 1",
        ),
        ("redis://cache.test?deadline_ms=1.5", "deadline_ms = '1.5' can't be used: a whole number, at least 1"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_can_and_shows_no_password(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        store_from_url(url)
    message = str(raised.value)
    assert "RATE_LIMIT_STORE_URL" in message
    assert said in message
    assert "secret" not in message
    assert raised.value.__cause__ is None


WITHOUT_REDIS = """
import sys
sys.modules["redis"] = None
from ratelimit_core.stores import store_from_url
store_from_url("memory://")
try:
    store_from_url("redis://:secret@cache.test")
except ValueError as error:
    sys.exit(str(error))
"""


def test_without_the_client_for_redis_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_REDIS], capture_output=True, text=True, check=False)
    assert "install redis-py: pip install 'django-ratelimit-gcra[redis]'" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("option", ["deadline_us", "patient_deadline_us", "pool_size", "turn_us"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_a_number_that_cannot_be_used_is_named(option: str, value: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} = .* can't be used: a whole number, at least 1"):
        RedisStore("redis://localhost", None, **{option: value})
