"""From shadow to enforcement, over HTTP: 300 identities, whom they would meet, and what then happens exactly."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from random import Random
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from django_ratelimit_gcra import runtime, shadow
from django_ratelimit_gcra.recording import Recorder
from ratelimit_core import Config, Limiter, Quota, RequestInfo
from ratelimit_core import limiter as core_limiter
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock
from tests.django.shadow.traffic import ABUSERS, HOUR_US, SPAN_US, Request, two_days

pytestmark = pytest.mark.django_db

QUOTA = "60/m:40"


@pytest.fixture(scope="module")
def traffic() -> list[Request]:
    return two_days()


@pytest.fixture
def began_us() -> int:
    """A whole minute, such that the traffic ends about now: commands look back from now."""
    minute = time.time_ns() // 60_000_000_000 * 60_000_000
    return minute - SPAN_US - HOUR_US // 4


class Door:
    """The Django door with its middleware, on a hand-moved clock and a store in memory, and what it answered."""

    def __init__(self, settings: Any, monkeypatch: pytest.MonkeyPatch, began_us: int) -> None:
        self._settings = settings
        self._patch = monkeypatch
        self._began_us = began_us
        settings.ROOT_URLCONF = "tests.doors.urls"
        settings.MIDDLEWARE = ["django_ratelimit_gcra.middleware.RateLimitMiddleware"]
        settings.RATE_LIMIT_TRUSTED_PROXIES = ["10.0.0.0/8"]
        settings.RATE_LIMIT_UNDECORATED = "mode"

    def send(self, traffic: Sequence[Request], quota: str, mode: str) -> Counter[str]:
        """All of it, to a fresh store; the refusals by address."""
        self._settings.RATE_LIMIT_BUCKETS = {"read": {"quotas": [quota], "mode": mode}}
        clock = ManualClock(self._began_us)
        overlay = core_limiter.Overlay(MemoryStore(clock), lambda config: config)
        self._patch.setattr(core_limiter, "overlay", overlay)
        client = Client(REMOTE_ADDR="10.1.2.3")
        refused: Counter[str] = Counter()
        for after_us, address in traffic:
            clock.set_us(self._began_us + after_us)
            status = client.get("/anywhere/", headers={"x-forwarded-for": address}).status_code
            assert status in {200, 429}
            refused[address] += status == 429
        return +refused


@pytest.fixture
def door(settings: Any, monkeypatch: pytest.MonkeyPatch, began_us: int) -> Door:
    return Door(settings, monkeypatch, began_us)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    runtime.use_sinks(recorder)
    yield recorder
    runtime.use_sinks()


def shown(*arguments: str) -> str:
    out = StringIO()
    call_command("ratelimit_shadow", "--bucket=read", "--hours=48", *arguments, stdout=out)
    return out.getvalue()


def test_shadow_names_who_is_refused_and_what_it_predicts_comes_true(
    door: Door, recorder: Recorder, traffic: list[Request], began_us: int
) -> None:
    assert len({address for _, address in traffic}) == 300
    assert door.send(traffic, QUOTA, "shadow") == {}
    recorder.flush()
    (found,) = json.loads(shown("--json", "--suggest", f"--what-if={QUOTA}"))
    assert {share["name"] for share in found["identities"]} == {f"ip:{address}" for address in ABUSERS}
    assert found["looks_like"] == "loop"
    assert (found["requests"], found["blocked"], found["lost"]) == (len(traffic), 0, 0)
    assert found["would_block"] == found["what_if"][0]["refused"]
    assert found["readiness"] == {
        "ready": True,
        "sentence": "47 h observed, 2 of 300 identities would be refused, two of them by a loop; ready to enforce.",
    }
    printed = shown("--suggest")
    assert {word for word in printed.split() if word.startswith("ip:")} == {f"ip:{address}" for address in ABUSERS}
    since = datetime.fromtimestamp(began_us / 1_000_000, UTC)
    suggested = Quota.parse(found["suggestion"]["quota"])
    predicted = shadow.what_if("read", [suggested], since)
    assert not predicted.estimated
    happened = door.send(traffic, str(suggested), "enforce")
    assert {share.name.removeprefix("ip:"): share.refused for share in predicted.worst} == happened
    assert predicted.refused == happened.total() > 400
    assert set(happened) == ABUSERS
    assert suggested.rate == 60
    assert suggested.burst < 40


def test_the_prediction_is_that_of_a_brute_force_for_any_rate_and_burst(traffic: list[Request], began_us: int) -> None:
    recorder = Recorder()
    clock = ManualClock(began_us)
    limiter = Limiter(Config.default(), MemoryStore(clock), [recorder])
    for after_us, address in traffic:
        clock.set_us(began_us + after_us)
        limiter.admit(RequestInfo(peer=address), "read")
    recorder.flush()
    since = datetime.fromtimestamp(began_us / 1_000_000, UTC)
    lots = Random(20)
    for _ in range(20):
        quota = Quota(rate=lots.choice([1, 5, 7, 30, 60, 200]), period_us=60_000_000, burst=lots.randint(1, 50))
        made = shadow.what_if("read", [quota], since, since + timedelta(hours=48))
        expected = poured(traffic, quota.rate, quota.burst)
        assert (made.requests, made.identities) == (len(traffic), 300)
        assert (made.refused, made.touched) == (expected.total(), len(expected)), quota


def poured(traffic: Sequence[Request], rate_per_minute: int, burst: int) -> Counter[str]:
    """Refusals by address of buckets that leak one unit in so many whole microseconds; shares no code with ours."""
    leak_us = -(-60_000_000 // rate_per_minute)
    filled_us: Counter[str] = Counter()
    seen: dict[str, int] = {}
    refused: Counter[str] = Counter()
    for after_us, address in traffic:
        filled_us[address] = max(0, filled_us[address] - (after_us - seen.get(address, 0)))
        seen[address] = after_us
        if filled_us[address] + leak_us > burst * leak_us:
            refused[address] += 1
        else:
            filled_us[address] += leak_us
    return refused
