"""The middleware on uvicorn, over a real socket."""

from collections.abc import Iterator
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
