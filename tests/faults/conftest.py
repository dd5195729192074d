"""Fixtures of the fault tests."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.faults.mortal.client import MORTAL, SERVERS, MortalSite, patient, run, variables
from tests.faults.proxy import Proxy
from tests.servers import ServerUnderTest
from tests.sites import SiteFactory


@pytest.fixture
def proxy(redis_server: ServerUnderTest) -> Iterator[Proxy]:
    """A proxy in front of the shared server."""
    port = int(redis_server.url.rpartition(":")[2].partition("/")[0])
    with Proxy(port) as running:
        yield running


@pytest.fixture
def mortal(site: SiteFactory, redis_server: ServerUnderTest, tmp_path: Path) -> Iterator[MortalSite]:
    """`mortal(record, server)`: a client of the site, which has a database of its own."""
    with ExitStack() as stack:

        def start(
            record: str = "store", server: str = "gunicorn", database: str = "", store_url: str = ""
        ) -> httpx.Client:
            env = variables(store_url or patient(redis_server), tmp_path, record, database)
            run(env, f"{MORTAL}.tables")
            app, *options = SERVERS[server]
            running = site(server.partition(" ")[0], *options, app=f"{MORTAL}.serving:{app}", env=env)
            each_anew = httpx.Limits(max_keepalive_connections=0)
            return stack.enter_context(httpx.Client(base_url=running.url, timeout=30, limits=each_anew))

        yield start
