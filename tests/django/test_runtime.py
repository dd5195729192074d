"""One limiter for a process and its configuration; and whether the process serves."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import Client, override_settings

from django_ratelimit_gcra import runtime
from ratelimit_core import Identity
from ratelimit_core.testing import ManualClock, RecordingSink
from testproject.bootstrap import ROOT


def python(script: str) -> str:
    """What a script prints in a process of its own, with the testproject's settings."""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "testproject.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == 0
    return done.stdout.strip()


def test_every_thread_gets_the_same_limiter() -> None:
    with override_settings(RATE_LIMIT_NAMESPACE="threads"), ThreadPoolExecutor(16) as pool:
        assert len({id(limiter) for limiter in pool.map(lambda _: runtime.limiter(), range(64))}) == 1


def test_another_setting_is_another_limiter_on_the_same_store(settings: Any) -> None:
    before = runtime.limiter()
    settings.LANGUAGE_CODE = "fr"
    assert runtime.limiter() is before
    settings.RATE_LIMIT_SHADOW = False
    assert runtime.limiter() is not before
    assert runtime.limiter().store is before.store


def test_another_url_is_another_store_and_the_old_one_is_closed(settings: Any, redis_server: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = f"{redis_server.url}?health_check_interval=0"
    runtime.limiter().admit(Identity.user(7), "read")
    with redis_server.client() as client:
        before = len(client.client_list())
        settings.RATE_LIMIT_STORE_URL = "memory://"
        assert runtime.limiter().store.describe()["kind"] == "memory"
        assert len(client.client_list()) == before - 1


def test_sinks_are_told_of_every_decision(clock: ManualClock) -> None:
    sink = RecordingSink()
    runtime.use_sinks(sink)
    try:
        Client().get("/samples/plain/")
        with override_settings(RATE_LIMIT_SHADOW=False):
            Client().get("/samples/plain/")
    finally:
        runtime.use_sinks()
    Client().get("/samples/plain/")
    assert [(event.bucket, event.route) for event in sink.events] == [("read", "samples/plain/")] * 2


def test_a_process_that_is_copied_in_the_middle_of_building_builds_its_own() -> None:
    script = """
import os, django; django.setup()
from django_ratelimit_gcra import runtime
from ratelimit_core import Identity
before = runtime.limiter()
before.admit(Identity.user(7), "read")
runtime._runtime.drop()
runtime._runtime._lock.acquire()
if child := os.fork():
    os.waitpid(child, 0)
else:
    mine = runtime.limiter()
    print(mine.store is not before.store, mine.admit(Identity.user(7), "read").decision.remaining)
"""
    assert python(script) == "True 9"


SERVE = "import django; from ratelimit_core.testing import *; from ratelimit_core.errors import TestModeError\n"
REFUSED = "try:\n    set_testing(True); print('accepted')\nexcept TestModeError: print('refused')"


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_process_that_serves_refuses_test_mode(kind: str) -> None:
    assert python(f"{SERVE}from testproject.{kind} import application\n{REFUSED}") == "refused"


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_process_in_test_mode_refuses_to_serve(kind: str) -> None:
    script = f"{SERVE}set_testing(True)\ntry:\n    import testproject.{kind}\nexcept TestModeError: print('refused')"
    assert python(script) == "refused"


def test_a_test_environment_may_serve_in_test_mode() -> None:
    script = "from django.test.utils import setup_test_environment; django.setup(); setup_test_environment()\n"
    assert python(f"{SERVE}{script}from testproject.wsgi import application\n{REFUSED}") == "accepted"


def test_a_test_client_outside_a_test_environment_serves_nobody() -> None:
    client = "from django.test import Client; django.setup(); Client().get('/health/', SERVER_NAME='localhost')\n"
    assert python(f"{SERVE}{client}{REFUSED}") == "accepted"


def test_what_hides_the_handler_counts_as_serving() -> None:
    script = (
        "django.setup(); from django_ratelimit_gcra.middleware import RateLimitMiddleware\n"
        "RateLimitMiddleware(lambda request: None)\n"
    )
    assert python(f"{SERVE}{script}{REFUSED}") == "refused"
