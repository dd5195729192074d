"""The middleware on uvicorn, over a real socket."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.polling import until
from tests.sites import Site


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the application in `apps.py`, served alone."""
    with (
        Site("uvicorn", (), "tests.asgi.apps:application", tmp_path / "site.log", {}) as site,
        httpx.Client(base_url=site.url) as client,
    ):
        yield client


def test_ten_requests_pass_and_the_eleventh_and_a_head_are_refused(client: httpx.Client) -> None:
    passed = [client.get("/") for _ in range(10)]
    refused, head = client.get("/"), client.head("/")
    assert [answer.headers["x-ratelimit-remaining"] for answer in passed] == list("9876543210")
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert 0 < int(refused.headers["retry-after"]) <= 360
    assert (head.status_code, head.content) == (429, b"")
    assert head.headers["content-length"] == refused.headers["content-length"]


@pytest.mark.parametrize("path", ["/pay/endless", "/pay/patient"])
def test_a_client_that_hangs_up_leaves_no_lease_behind(client: httpx.Client, path: str) -> None:
    with client.stream("POST", path) as streaming:
        assert streaming.status_code == 200
        refused = client.post("/pay/")
        assert (refused.status_code, refused.json()["code"]) == (429, "concurrency_limited")
    until(lambda: client.post("/pay/").status_code == 200, "the lease to be free", seconds=10)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k1"}])
def test_two_clicks_over_real_sockets_are_one_payment(client: httpx.Client, headers: dict[str, str]) -> None:
    def click() -> httpx.Response:
        return client.post("/shop/pay", json={"amount": 5}, headers=headers)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(click)
        client.get("/shop/begun")
        second = click()
        client.get("/shop/open")
        paid = first.result(10)
    third = click()
    assert (second.status_code, second.json()["code"], second.headers["retry-after"]) == (409, "in_progress", "1")
    assert (paid.status_code, paid.text) == (third.status_code, third.text) == (201, "receipt 1")
    assert third.headers["idempotent-replayed"] == "true"
    assert third.headers["content-type"] == paid.headers["content-type"]


def test_ten_megabytes_are_paid_for_once_and_one_more_byte_is_refused(client: httpx.Client) -> None:
    client.get("/shop/open")
    allowed = b"x" * 10 * 1024 * 1024
    answers = [client.post("/shop/pay", content=body) for body in (allowed, allowed, allowed + b"x")]
    assert [answer.status_code for answer in answers] == [201, 201, 413]
    assert answers[1].headers["idempotent-replayed"] == "true"
