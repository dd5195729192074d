"""Fixtures of every test, the servers first."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from testproject.bootstrap import ROOT
from tests import servers
from tests.servers import RedisServer, ServerUnderTest
from tests.sites import Site, SiteFactory

# What the caller's shell says about limits is nobody's business here.
for name in [name for name in os.environ if name.startswith("RATE_LIMIT")]:
    del os.environ[name]

# The machine's speed is no property of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


def pytest_report_header() -> str:
    return servers.describe()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    address = os.environ.get(servers.URL_VARIABLE)
    if address:
        yield ServerUnderTest(address)
        return
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(_shared_redis: ServerUnderTest) -> ServerUnderTest:
    """The shared real server, emptied. For everything but faults: use `private_redis` to kill or freeze one."""
    _shared_redis.clear()
    return _shared_redis


@pytest.fixture
def private_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RedisServer]]:
    """`server = private_redis()`: a running server of the test's own, ended after it."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(RedisServer(tmp_path_factory.mktemp("redis")))


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test has."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def _demo_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's data, made once; every site works on a copy."""
    database = tmp_path_factory.mktemp("demo") / "demo.sqlite3"
    env = {**os.environ, "TESTPROJECT_DB": str(database)}
    for command in (["migrate", "--verbosity=0"], ["demo_data"]):
        subprocess.run([sys.executable, "-m", "django", *command], cwd=ROOT, env=env, check=True, capture_output=True)
    return database


@pytest.fixture
def site(tmp_path: Path, _demo_database: Path) -> Iterator[SiteFactory]:
    """`site("uvicorn", env={...})`: a running testproject of its own data with `.url`, ended after the test."""
    numbers = count()
    with ExitStack() as stack:

        def start(
            server: str = "uvicorn", *arguments: str, app: str | None = None, env: Mapping[str, str] | None = None
        ) -> Site:
            place = tmp_path / f"site{next(numbers)}"
            database = shutil.copy(_demo_database, place.with_suffix(".sqlite3"))
            variables = {"TESTPROJECT_DB": str(database), **(env or {})}
            return stack.enter_context(Site(server, arguments, app, place.with_suffix(".log"), variables))

        yield start
