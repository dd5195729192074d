"""The same faults over HTTP: the site on uvicorn and on gunicorn, with its server killed, missing or frozen."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from testproject.marketplace.demo import demo_token
from tests.faults.limiters import DEADLINE_S, SLACK
from tests.polling import until
from tests.servers import RedisServer
from tests.sites import Site, SiteFactory

PrivateRedis = Callable[[], RedisServer]
BURST = 10
served = pytest.mark.parametrize(
    ("server", "arguments"), [("uvicorn", ()), ("gunicorn", ("--workers=2", "--threads=8"))], ids=["asgi", "wsgi"]
)


@contextmanager
def visitor(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=30) as client:
        yield client


def pays(client: httpx.Client, name: str = "alice") -> httpx.Response:
    headers = {"Authorization": f"Token {demo_token(name)}"}
    return client.post("/api/bookings/1/pay/", json={"card": "4242424242424242"}, headers=headers)


def searches(client: httpx.Client, number: int) -> list[httpx.Response]:
    """So many anonymous searches, eight at a time."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: client.get("/instructors/"), range(number)))


def statuses(responses: list[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def limits(client: httpx.Client) -> None:
    """One budget for all workers, on a server that is empty."""
    counts = statuses(searches(client, BURST + 8))
    # Sixty a minute: one more may be earned back while these are on their way.
    assert set(counts) == {200, 429}
    assert BURST <= counts[200] <= BURST + 3


def goes_on_without_its_store(client: httpx.Client) -> None:
    """Nobody sees an error on a plain page, and it is limited all the same, each worker for itself."""
    responses = searches(client, 100)
    counts = statuses(responses)
    assert set(counts) == {200, 429}
    assert 3 <= counts[200] <= 2 * (BURST + 10)
    assert all("Retry-After" in response.headers for response in responses if response.status_code == 429)
    takes_no_payment(client)


def takes_no_payment(client: httpx.Client) -> None:
    refused = pays(client)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1


def recovers(client: httpx.Client, server: RedisServer) -> None:
    """Once the server is back, every worker finds it within seconds."""
    answers: list[int] = []

    def all_is_well() -> bool:
        answers.append(pays(client, "bob").status_code)
        return 503 not in answers[-10:] and len(answers) >= 10

    until(all_is_well, "the site to find its server again", seconds=20, every=0.05)
    with server.client() as redis_client:
        redis_client.flushdb()
    limits(client)


@served
def test_a_killed_server_costs_plain_pages_nothing_and_closes_payments(
    site: SiteFactory, private_redis: PrivateRedis, server: str, arguments: tuple[str, ...]
) -> None:
    redis_server = private_redis()
    env = {"RATE_LIMIT_STORE_URL": redis_server.url, "RATE_LIMIT_SHADOW_READ": "false"}
    with visitor(site(server, *arguments, env=env)) as client:
        limits(client)
        assert pays(client).status_code < 300
        redis_server.kill()
        goes_on_without_its_store(client)
        redis_server.start()
        recovers(client, redis_server)


@served
def test_a_site_that_starts_without_its_server_serves_and_then_finds_it(
    site: SiteFactory, private_redis: PrivateRedis, server: str, arguments: tuple[str, ...]
) -> None:
    redis_server = private_redis()
    redis_server.kill()
    env = {"RATE_LIMIT_STORE_URL": redis_server.url, "RATE_LIMIT_SHADOW_READ": "false"}
    with visitor(site(server, *arguments, env=env)) as client:
        goes_on_without_its_store(client)
        redis_server.start()
        recovers(client, redis_server)


@served
def test_a_frozen_server_holds_a_request_up_for_two_deadlines_at_most(
    site: SiteFactory, private_redis: PrivateRedis, server: str, arguments: tuple[str, ...]
) -> None:
    redis_server = private_redis()
    env = {"RATE_LIMIT_STORE_URL": f"{redis_server.url}?pool_size=4", "RATE_LIMIT_SHADOW_READ": "false"}
    with visitor(site(server, *arguments, env=env)) as client:

        def slowest(number: int) -> float:
            def one(_: int) -> float:
                since_s = time.monotonic()
                assert client.get("/instructors/").status_code in {200, 429}
                return time.monotonic() - since_s

            with ThreadPoolExecutor(16) as pool:
                return max(pool.map(one, range(number)))

        limits(client)
        healthy_s = slowest(200)
        redis_server.freeze()
        assert slowest(200) < healthy_s + 2 * DEADLINE_S * SLACK
        takes_no_payment(client)
        redis_server.thaw()
        recovers(client, redis_server)


def test_async_views_under_a_sync_handler_share_the_store_though_each_has_a_loop_of_its_own(
    site: SiteFactory, private_redis: PrivateRedis
) -> None:
    env = {"RATE_LIMIT_STORE_URL": private_redis().url, "RATE_LIMIT_SHADOW_READ": "false"}
    with visitor(site("gunicorn", "--threads=4", env=env)) as client:
        answers = [client.get("/samples/async/") for _ in range(BURST)]
    assert {answer.status_code for answer in answers} == {200}
    left = [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers]
    # A call that failed would show a budget of this process beside the server's: numbers that go up again.
    assert left == sorted(left, reverse=True)
    assert left[0] == BURST - 1
    assert left[-1] <= 2
