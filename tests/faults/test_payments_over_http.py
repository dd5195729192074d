"""A payment view behind real servers: commands counted, replies lost, workers killed, clients that hang up."""

import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults.mortal.client import MortalSite, code, dies, effects, insist, post
from tests.faults.proxy import Proxy
from tests.polling import until
from tests.servers import ServerUnderTest

BOTH = pytest.mark.parametrize(("server", "page"), [("gunicorn", "pay"), ("uvicorn", "pay"), ("uvicorn", "apay")])


@BOTH
def test_a_payment_is_two_commands_and_a_replay_is_one(
    mortal: MortalSite, redis_server: ServerUnderTest, server: str, page: str
) -> None:
    client = mortal(server=server)
    for _ in range(2):  # the server learns its scripts
        post(client, 0, page)
    with redis_server.monitor() as paying:
        assert code(post(client, 1, page)) == 201
    with redis_server.monitor() as replaying:
        assert "Idempotent-Replayed" in post(client, 1, page).headers
    assert (paying.names(), replaying.names()) == (["EVALSHA"] * 2, ["EVALSHA"])


@BOTH
def test_a_lost_reply_runs_no_view_and_the_same_key_works_after_it(
    mortal: MortalSite, proxy: Proxy, server: str, page: str
) -> None:
    client = mortal(server=server, store_url=f"{proxy.url}?deadline_ms=500&patient_deadline_ms=500")
    assert code(insist(client, 0, page)) == 201
    proxy.swallowing = True
    lost = post(client, 1, page)
    assert (lost.status_code, code(lost), "Retry-After" in lost.headers) == (503, "store_down", True)
    until(lambda: proxy.swallowed > 0, "the reply to be swallowed")
    proxy.swallowing = False
    assert code(insist(client, 1, page)) == 201
    assert effects(client) == {"0": 1, "1": 1}


def test_a_killed_asgi_worker_never_has_its_effect_happen_twice(mortal: MortalSite) -> None:
    client = mortal(server="uvicorn workers")
    deaths = {
        "after the claim": ("outcome_unknown", 0),
        "before the effect": ("outcome_unknown", 0),
        "after the effect": ("outcome_unknown", 1),
        "after settling": (201, 1),
        "before the answer leaves": (201, 1),
    }
    for payment, (point, (found, happened)) in enumerate(deaths.items()):
        dies(client, payment, point, "apay")
        assert code(insist(client, payment, "apay")) == found, point
        until(lambda: answers(client), "a worker in its place")
        assert effects(client).get(str(payment), 0) == happened, point


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/effects/").is_success
    except httpx.TransportError:
        return False


@BOTH
def test_a_client_that_hangs_up_leaves_its_lease_free_and_its_record_told(
    mortal: MortalSite, server: str, page: str
) -> None:
    """The view takes a second. A coroutine is cancelled with its client; a thread ends its work, and settles then."""
    client = mortal(server=server)
    hang_up(client, 1, page, seconds=1)
    began = time.monotonic()
    assert code(insist(client, 1, page, Idempotency_Key="another")) == 201
    assert time.monotonic() - began < 10, "five times the view's own second, and another for the lease"
    assert code(insist(client, 1, page)) in (201, "outcome_unknown")
    assert effects(client) == {"1": 2}, "one by each key"


def hang_up(client: httpx.Client, payment: int, page: str, seconds: float) -> None:
    """Send a whole request, and close the connection while it is worked on."""
    at = urlsplit(str(client.base_url))
    head = [f"POST /{page}/{payment}/ HTTP/1.1", f"Host: {at.netloc}", "Content-Length: 0", f"X-User: {payment + 1}"]
    head += [f"Idempotency-Key: payment-{payment}", f"X-Seconds: {seconds}"]
    with socket.create_connection((str(at.hostname), int(at.port or 80))) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        until(lambda: effects(client).get(str(payment)) == 1, "the effect")
