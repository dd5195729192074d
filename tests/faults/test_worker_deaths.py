"""Workers of a served site are killed at every point of a payment, and clients click twice: one effect, one answer."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.faults.mortal.client import MortalSite, code, dies, effects, insist, patient, post, run, variables
from tests.postgres import PostgresServer
from tests.servers import ServerUnderTest

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


def test_with_the_store_alone_no_death_has_a_second_effect_and_an_operator_ends_the_doubt(
    mortal: MortalSite, redis_server: ServerUnderTest, tmp_path: Path
) -> None:
    client = mortal("store")
    for payment, point in enumerate(STORE_DEATHS):
        dies(client, payment, point)
    for payment, (point, (found, happened)) in enumerate(STORE_DEATHS.items()):
        assert [code(insist(client, payment)) for _ in range(2)] == [found] * 2, point
        assert effects(client).get(str(payment), 0) == happened, point
    env = variables(patient(redis_server), tmp_path, "store")
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


def returning(client: httpx.Client, payment: int, seconds: str) -> list[httpx.Response]:
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
            first = clicks.submit(returning, client, payment, seconds)
            time.sleep(0.05)
            second = clicks.submit(returning, client, payment, seconds)
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
