"""The demo's promise over real sockets: ten reads pass, the eleventh says when to come back, and then is admitted."""

import time
from collections.abc import Iterator

import httpx
import pytest

from testproject.marketplace.demo import demo_token
from tests.sites import SiteFactory

ORIGIN = "http://localhost:3000"
BURST = 10
HEADERS = [
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Policy",
    "RateLimit-Policy",
    "RateLimit",
]


@pytest.fixture(params=[("uvicorn",), ("gunicorn", "--threads", "4")], ids=["uvicorn", "gunicorn"])
def client(request: pytest.FixtureRequest, site: SiteFactory) -> Iterator[httpx.Client]:
    served = site(*request.param, env={"RATE_LIMIT_SHADOW_READ": "false"})
    with httpx.Client(base_url=served.url, headers={"Origin": ORIGIN}) as client:
        yield client


def reads(client: httpx.Client, name: str) -> list[httpx.Response]:
    """One more than the burst, as one user."""
    headers = {"Authorization": f"Token {demo_token(name)}"}
    return [client.get("/api/instructors/", headers=headers) for _ in range(BURST + 1)]


def test_ten_reads_pass_and_the_eleventh_says_when_to_come_back(client: httpx.Client) -> None:
    for name in ("alice", "bob", "carol"):
        since_s = time.monotonic()
        responses = reads(client, name)
        if time.monotonic() - since_s < 0.9:  # else a unit was earned back meanwhile: the next user tries
            break
    else:
        raise AssertionError("eleven reads took a second three times; this machine is too busy to count them")
    refused = responses.pop()
    assert [response.status_code for response in responses] == [200] * BURST
    assert [int(response.headers["X-RateLimit-Remaining"]) for response in responses] == list(range(BURST - 1, -1, -1))
    assert not any("Retry-After" in response.headers for response in responses)
    for response in (*responses, refused):
        assert [header for header in HEADERS if header not in response.headers] == []
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Cache-Control"] == "no-store"
    assert (refused.json()["code"], refused.json()["violated-policies"]) == ("rate_limited", ["read"])
    time.sleep(int(refused.headers["Retry-After"]))
    again = client.get("/api/instructors/", headers={"Authorization": f"Token {demo_token(name)}"})
    assert again.status_code == 200
