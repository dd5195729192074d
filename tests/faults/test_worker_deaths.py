"""Workers of a served site are killed at every point of a payment, and clients click twice: one effect, one answer."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from testproject.bootstrap import ROOT
from tests.polling import until
from tests.postgres import PostgresServer
from tests.servers import ServerUnderTest
from tests.sites import SiteFactory

MORTAL = "tests.faults.mortal"

# What the store alone knows after a death there, and how many effects there were by then.
STORE_DEATHS = {
    "before the claim": (201, 1),
    "after the claim": ("outcome_unknown", 0),
    "before the effect": ("outcome_unknown", 0),
    "after the effect": ("outcome_unknown", 1),
    "while it answers": ("outcome_unknown", 1),
    "after settling": (201, 1),
    "before the answer leaves": (201, 1),
}
DATABASE_DEATHS = [*STORE_DEATHS, "before the commit", "after the commit"]

MortalSite = Callable[..., httpx.Client]


def variables(server: ServerUnderTest, place: Path, record: str, database: str = "") -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": f"{MORTAL}.settings",
        "MORTAL_DB": database or str(place / "mortal.sqlite3"),
        "MORTAL_RECORD": record,
        "RATE_LIMIT_STORE_URL": f"{server.url}?deadline_ms=5000&patient_deadline_ms=5000",
    }


def run(env: dict[str, str], *command: str) -> None:
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env={**os.environ, **env}, check=True)


@pytest.fixture
def mortal(site: SiteFactory, redis_server: ServerUnderTest, tmp_path: Path) -> Iterator[MortalSite]:
    """`mortal(record, server)`: a client of the site, which has a database of its own."""
    with ExitStack() as stack:

        def start(record: str = "store", server: str = "gunicorn", database: str = "") -> httpx.Client:
            env = variables(redis_server, tmp_path, record, database)
            run(env, f"{MORTAL}.tables")
            # preloaded, a killed worker is replaced by a fork, at once
            gunicorn = "wsgi", "--workers=3", "--threads=4", "--preload"
            app, *options = {"gunicorn": gunicorn, "uvicorn": ("asgi",)}[server]
            running = site(server, *options, app=f"{MORTAL}.serving:{app}", env=env)
            each_anew = httpx.Limits(max_keepalive_connections=0)
            return stack.enter_context(httpx.Client(base_url=running.url, timeout=30, limits=each_anew))

        yield start


def post(client: httpx.Client, payment: int, **headers: str) -> httpx.Response:
    """A try; each payment has a user of its own."""
    sent = {"Idempotency-Key": f"payment-{payment}", "X-User": str(payment + 1)}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/pay/{payment}/", headers=sent)


def dies(client: httpx.Client, payment: int, point: str) -> None:
    with pytest.raises(httpx.TransportError):
        post(client, payment, X_Die=point)


def insist(client: httpx.Client, payment: int) -> httpx.Response:
    """Ask until there is an answer; a worker that has just died may take a connection with it."""
    answers: list[httpx.Response] = []

    def answered() -> bool:
        try:
            answers.append(post(client, payment))
        except httpx.TransportError:
            return False
        return code(answers[-1]) != "in_progress"

    until(answered, f"an answer to payment {payment}", every=0.05)
    return answers[-1]


def code(response: httpx.Response) -> object:
    """The status of an answer, or the code of a refusal."""
    return response.status_code if response.is_success else response.json()["code"]


def effects(client: httpx.Client) -> dict[str, int]:
    found: dict[str, int] = client.get("/effects/").json()
    return found


def test_with_the_store_alone_no_death_has_a_second_effect_and_an_operator_ends_the_doubt(
    mortal: MortalSite, redis_server: ServerUnderTest, tmp_path: Path
) -> None:
    client = mortal("store")
    for payment, point in enumerate(STORE_DEATHS):
        dies(client, payment, point)
    for payment, (point, (found, happened)) in enumerate(STORE_DEATHS.items()):
        assert [code(insist(client, payment)) for _ in range(2)] == [found] * 2, point
        assert effects(client).get(str(payment), 0) == happened, point
    env = variables(redis_server, tmp_path, "store")
    for payment, ending in ((1, ["--release"]), (3, ["--completed=201"])):
        who = ["--user", str(payment + 1), "--bucket=financial", f"--idempotency-key=payment-{payment}"]
        run(env, "django", "ratelimit_reset", "--idempotency", *who, *ending, "--reason=the processor's books say so")
        assert code(insist(client, payment)) == 201
        assert effects(client)[str(payment)] == 1


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Nothing for SQLite, else the address of a PostgreSQL server."""
    if request.param == "sqlite":
        yield ""
        return
    with PostgresServer() as server:
        yield server.url


def test_with_a_record_in_the_database_each_is_paid_exactly_once(
    mortal: MortalSite, redis_server: ServerUnderTest, database: str
) -> None:
    client = mortal("database", database=database)
    points = dict(enumerate(DATABASE_DEATHS * 2))
    for payment, point in points.items():
        dies(client, payment, point)
        if payment == len(DATABASE_DEATHS) - 1:
            judge_exactly_once(client, dict(list(points.items())[: payment + 1]))
    with redis_server.client() as redis:
        redis.flushdb()  # what the store knew is lost: of the paid ones too
    judge_exactly_once(client, points)
    assert effects(client) == {str(payment): 1 for payment in points}


def judge_exactly_once(client: httpx.Client, points: dict[int, str]) -> None:
    for payment, point in points.items():
        answers = [insist(client, payment) for _ in range(2)]
        assert [(one.status_code, one.json()) for one in answers] == [(201, {"paid": payment})] * 2, point
        assert answers[-1].headers["Idempotent-Replayed"] == "true"


# --- a double click


def patient(client: httpx.Client, payment: int, seconds: str) -> list[httpx.Response]:
    """What a client is told that comes back when it is told to."""
    answers = [post(client, payment, X_Seconds=seconds)]
    while answers[-1].status_code == 409 and len(answers) < 5:
        time.sleep(int(answers[-1].headers["Retry-After"]))
        answers.append(post(client, payment, X_Seconds=seconds))
    return answers


@pytest.mark.parametrize(("record", "server"), [("store", "gunicorn"), ("store", "uvicorn"), ("database", "gunicorn")])
def test_a_double_click_has_one_effect_and_two_usable_answers(mortal: MortalSite, record: str, server: str) -> None:
    client = mortal(record, server)
    with ThreadPoolExecutor(2) as clicks:
        for payment, seconds in enumerate(("0", "0.5")):
            first = clicks.submit(patient, client, payment, seconds)
            time.sleep(0.05)
            second = clicks.submit(patient, client, payment, seconds)
            answers = [first.result()[-1], second.result()[-1]]
            assert [(one.status_code, one.json()) for one in answers] == [(201, {"paid": payment})] * 2
            assert sorted("Idempotent-Replayed" in one.headers for one in answers) == [False, True]
    assert effects(client) == {"0": 1, "1": 1}
    for payment in range(2, 22):  # a click after the last byte finds the answer
        answers = [post(client, payment) for _ in range(2)]
        assert [(one.status_code, "Idempotent-Replayed" in one.headers) for one in answers] == [
            (201, False),
            (201, True),
        ]
