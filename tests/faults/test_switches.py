"""A switch made in one process is enforced by every other one within two seconds, and undone likewise."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from typing import NamedTuple
from uuid import uuid4

import pytest

from testproject.bootstrap import ROOT
from tests import polling
from tests.postgres import PostgresServer
from tests.servers import RedisServer, ServerUnderTest
from tests.sites import Site

pytestmark = pytest.mark.timeout(300)  # servers that start, several times over

PROMISE_S = 2.0
BOUND_S = 5 * PROMISE_S  # a busy machine is no fault of ours
PATIENT = "?deadline_ms=20000"  # nor that its Redis answers late
WORKERS = 3
READ = "/samples/plain/"
BUCKETS = json.dumps({"read": {"quota": "60/m", "burst": 10}})
Answer = Callable[["Found"], bool]


def migrated(location: str) -> str:
    """A database with its tables, and nothing in them."""
    env = {**os.environ, "TESTPROJECT_DB": location, "DJANGO_SETTINGS_MODULE": "testproject.settings"}
    command = [sys.executable, "-m", "django", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    return location


class Fleet:
    """Two sites on one database and, if it is shared, one Redis: gunicorn with several workers, and uvicorn."""

    def __init__(self, stack: ExitStack, place: Path, database: str, store_url: str, *arguments: str) -> None:
        self.env = {
            "TESTPROJECT_DB": database,
            "RATE_LIMIT_STORE_URL": store_url,
            "RATE_LIMIT_BUCKETS": BUCKETS,
            "RATE_LIMIT_TRUSTED_PROXIES": "private",
        }
        workers = (f"--workers={WORKERS}", *arguments)
        served = {"gunicorn": (WORKERS, workers, "wsgi"), "uvicorn": (1, (), "asgi")}
        self.sites: list[tuple[Site, int]] = []
        for server, (count, options, module) in served.items():
            app = f"tests.faults.switched.{module}:application"
            site = Site(server, options, app, place / f"{server}{uuid4().hex}.log", self.env)
            self.sites.append((stack.enter_context(site), count))

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command, in a process of its own."""
        env = {**os.environ, **self.env, "DJANGO_SETTINGS_MODULE": "testproject.settings"}
        command = [sys.executable, "-m", "django", "ratelimit_switch", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True, check=False)

    def switch(self, *arguments: str) -> str:
        """The number of the change."""
        done = self.run(*arguments, "--reason=a test")
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[0]

    def undo(self, number: str) -> None:
        """End a change."""
        self.switch("--undo", number)

    def execute(self, statement: str) -> None:
        """What somebody does to the database by hand, and tells nobody."""
        with closing(sqlite3.connect(self.env["TESTPROJECT_DB"], timeout=20)) as connection, connection:
            connection.execute(statement)

    def follows(self, answer: Answer, within_s: float = BOUND_S) -> float:
        """Every process answers so in time, and goes on; the seconds until the last one that did not yet."""
        began_s = last_s = time.monotonic()
        rows: dict[str, int] = {}
        while len(rows) < sum(count for _, count in self.sites) or min(rows.values()) < 3:
            for found in self.ask():
                right = answer(found)
                rows[found.process] = rows.get(found.process, 0) + 1 if right else 0
                if not right:
                    last_s = found.at_s
                assert right or last_s < began_s + within_s, f"after {last_s - began_s} s still {found}"
            assert time.monotonic() < began_s + 6 * BOUND_S, f"only {rows} were met"
        return last_s - began_s

    def stays(self, answer: Answer, seconds: float = 3.5) -> None:
        """Every process answers so for a while."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for found in self.ask():
                assert answer(found), found

    def ask(self) -> list["Found"]:
        """Several requests at once to each site: one after the other would meet the same worker again and again."""
        urls = [site.url for site, count in self.sites for _ in range(2 * count)]
        with ThreadPoolExecutor(len(urls)) as pool:
            return list(pool.map(ask, urls))


class Found(NamedTuple):
    """An answer, when it was asked for, and who gave it."""

    at_s: float
    process: str
    status: int
    headers: Mapping[str, str]


def ask(url: str, address: str = "198.51.100.1") -> Found:
    at_s = time.monotonic()
    connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", READ, headers={"X-Forwarded-For": address})
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Found(at_s, headers["x-process"], response.status, headers)


def enforced(found: Found) -> bool:
    return found.status == 429 and found.headers.get("x-ratelimit-limit") == "1"


def strict(found: Found) -> bool:
    """The policy of `enforced`, also for whoever has not yet spent the one unit with this process."""
    return found.headers.get("x-ratelimit-limit") == "1" and found.headers.get("x-ratelimit-remaining") == "0"


def observed(found: Found) -> bool:
    return found.status == 200 and found.headers.get("x-ratelimit-limit") == "10"


def off(found: Found) -> bool:
    return found.status == 200 and "x-ratelimit-limit" not in found.headers


def killed(found: Found) -> bool:
    return found.status == 200 and found.headers.get("x-ratelimit-policy") == "off"


@pytest.fixture(scope="module", params=["memory", "redis"])
def shared_fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One for all tests that leave its processes alone: they take long to start."""
    place = tmp_path_factory.mktemp("fleet")
    (place / "database").mkdir()
    with ExitStack() as stack:
        store = "memory://"
        if request.param == "redis":
            store = stack.enter_context(RedisServer(place)).url + PATIENT
        yield Fleet(stack, place, migrated(str(place / "database" / "site.sqlite3")), store)


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Fleet:
    """Without any change in force."""
    shared_fleet.execute("DELETE FROM django_ratelimit_gcra_policyoverride")
    shared_fleet.undo(shared_fleet.switch("read", "off"))
    shared_fleet.follows(observed)
    return shared_fleet


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[ExitStack, Path]]:
    """For fleets that a test starts itself."""
    with ExitStack() as stack:
        yield stack, tmp_path


def test_a_switch_reaches_every_process_and_is_undone_likewise(
    fleet: Fleet, record_property: Callable[[str, object], None]
) -> None:
    """Others had a reload that reached one process."""
    number = fleet.switch("read", "enforce", "--quota=1/h:1")
    took = [fleet.follows(enforced)]
    fleet.undo(number)
    took.append(fleet.follows(observed))
    fleet.switch("--kill")
    took.append(fleet.follows(killed))
    fleet.switch("--unkill")
    took.append(fleet.follows(observed))
    record_property("seconds", [round(one, 2) for one in took])
    print("followed after", [round(one, 2) for one in took], "s")


def test_a_change_ends_in_every_process_at_its_deadline(fleet: Fleet) -> None:
    seconds = 12
    fleet.switch("read", "enforce", "--quota=1/h:1", f"--for={seconds}s")
    polling.until(lambda: any(map(enforced, fleet.ask())), "somebody to enforce it", seconds=BOUND_S)
    fleet.follows(observed, within_s=seconds + BOUND_S)


def test_a_broken_row_changes_nothing_and_stops_no_later_switch(fleet: Fleet) -> None:
    fleet.switch("read", "enforce", "--quota=1/h:1")
    fleet.follows(enforced)
    fleet.execute(
        "INSERT INTO django_ratelimit_gcra_policyoverride (bucket, mode, quotas, reason, by, created, undone_by, "
        "undone_reason) VALUES ('read', 'enfroce', '[]', 'a typo', 'SQL', datetime(), '', '')"
    )
    fleet.stays(strict)
    fleet.switch("read", "off")
    fleet.follows(off)


def test_without_its_sqlite_database_the_last_good_policy_stays(fleet: Fleet) -> None:
    fleet.switch("read", "enforce", "--quota=1/h:1")
    fleet.follows(enforced)
    folder = Path(fleet.env["TESTPROJECT_DB"]).parent
    away = folder.rename(folder.with_name("away"))
    try:
        fleet.stays(strict)
        assert "the database can't be used" in fleet.run("read", "off", "--reason=x").stderr
    finally:
        away.rename(folder)
    fleet.switch("read", "off")
    fleet.follows(off)


def test_without_its_postgresql_server_the_last_good_policy_stays(
    place: tuple[ExitStack, Path], redis_server: ServerUnderTest
) -> None:
    postgres = place[0].enter_context(PostgresServer())
    fleet = Fleet(*place, migrated(postgres.url), redis_server.url + PATIENT)
    fleet.switch("read", "enforce", "--quota=1/h:1")
    fleet.follows(enforced)
    postgres.stop()
    failed = fleet.run("read", "off", "--reason=x")
    assert "the database can't be used, and nothing was changed" in failed.stderr
    with redis_server.client() as client:
        client.set("ratelimit:policy", "somebody has everybody look")
    fleet.stays(strict)


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_workers_that_never_met_a_request_follow_too_also_forked_ones(
    place: tuple[ExitStack, Path], store: str, redis_server: ServerUnderTest
) -> None:
    """What begins to look with its first request answers that one by an old policy."""
    url = redis_server.url + PATIENT if store == "redis" else "memory://"
    fleet = Fleet(*place, migrated(str(place[1] / "site.sqlite3")), url, "--preload")
    fleet.switch("read", "off")
    Event().wait(2 * PROMISE_S)
    assert fleet.follows(off) == 0.0


def test_a_process_that_starts_enforces_what_was_switched_before(fleet: Fleet, place: tuple[ExitStack, Path]) -> None:
    fleet.switch("read", "off")
    later = Fleet(*place, fleet.env["TESTPROJECT_DB"], fleet.env["RATE_LIMIT_STORE_URL"])
    assert later.follows(off) == 0.0


# --- canary


def test_a_canary_enforces_for_the_same_tenth_on_every_server_and_a_larger_share_keeps_them(
    place: tuple[ExitStack, Path], redis_server: ServerUnderTest
) -> None:
    fleet = Fleet(*place, migrated(str(place[1] / "site.sqlite3")), redis_server.url + PATIENT)
    fleet.switch("read", "canary", "--percent=10", "--quota=1/d:1")
    fleet.follows(lambda found: found.headers.get("x-ratelimit-limit") == "1")
    tenth = _refused(fleet)
    assert _refused(fleet) == tenth
    fleet.switch("read", "canary", "--percent=30", "--quota=2/d:1")
    fleet.follows(lambda found: "w=43200" in found.headers.get("ratelimit-policy", ""))
    assert tenth < _refused(fleet)


def _addresses() -> list[str]:
    return [f"198.51.100.{number}" for number in range(60)]


def _refused(fleet: Fleet) -> set[str]:
    """The addresses that are refused: each is asked of every site until it has spent its one unit, and then again."""
    refused: set[str] = set()
    for address in _addresses():
        answers = [ask(site.url, address).status for _ in range(2) for site, _ in fleet.sites]
        assert len(set(answers[1:])) == 1, (address, answers)
        refused |= {address} if answers[-1] == 429 else set()
    return refused
