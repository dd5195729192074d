"""The shield with a real Redis server behind it: crowds, commands, and what is left over."""

import asyncio
from collections import Counter

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.scope import Receive, Scope, Send
from ratelimit_core import Config, Limiter
from tests.asgi.paying import Shop, Till, paying, post
from tests.faults.payments import left_over, patient_store
from tests.servers import ServerUnderTest

PAYMENTS = 200
TASKS = 500
TRIES = 4


class Busy(Shop):
    """A shop that lets others run while it works."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(int)
        await super().__call__(scope, receive, send)


async def test_two_thousand_duplicates_of_two_hundred_payments_are_two_hundred_effects(
    redis_server: ServerUnderTest, namespace: str
) -> None:
    shop = Busy()
    config = Config(buckets=[paying()], namespace=namespace)
    limiter = Limiter(config, patient_store(redis_server.url))
    app = RateLimitMiddleware(shop, limiter, default="pay")

    async def click(task: int) -> list[int]:
        payments = [(task * TRIES + number) % PAYMENTS for number in range(TRIES)]
        return [(await post(app, b"%d" % one, user=f"u{one}")).status for one in payments]

    statuses = Counter(status for found in await asyncio.gather(*map(click, range(TASKS))) for status in found)
    assert sum(statuses.values()) == TASKS * TRIES
    assert set(statuses) <= {201, 409}
    assert sorted(shop.bodies) == sorted(b"%d" % one for one in range(PAYMENTS))
    again = [await post(app, b"%d" % one, user=f"u{one}") for one in range(PAYMENTS)]
    assert {(answer.status, answer.headers["idempotent-replayed"]) for answer in again} == {(201, "true")}
    assert left_over(redis_server) == []
    await limiter.aclose()


async def test_cancelled_payments_leave_no_lease(redis_server: ServerUnderTest, namespace: str) -> None:
    config = Config(buckets=[paying(quota="100/s:1000")], namespace=namespace)
    limiter = Limiter(config, patient_store(redis_server.url))
    app = RateLimitMiddleware(Busy(), limiter, default="pay")
    for turns in range(30):
        task = asyncio.ensure_future(post(app, b"%d" % turns, user=f"u{turns}"))
        for _ in range(turns):
            await asyncio.wait([task], timeout=0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert left_over(redis_server) == []
    statuses = {(await post(app, b"%d" % turns, user=f"u{turns}")).status for turns in range(30)}
    assert statuses <= {201, 409}
    await limiter.aclose()


async def test_a_payment_is_two_commands_and_a_replay_is_one(redis_server: ServerUnderTest, namespace: str) -> None:
    store = patient_store(redis_server.url)
    till = Till(bucket=paying(quota="100/s:1000"), store=store, config={"namespace": namespace})
    await till.post(b"brings the scripts")
    with redis_server.monitor() as paying_once:
        await till.post(b"one")
    with redis_server.monitor() as replaying:
        await till.post(b"one")
    assert (paying_once.names(), replaying.names()) == (["EVALSHA"] * 2, ["EVALSHA"])
    await till.limiter.aclose()
