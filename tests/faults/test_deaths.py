"""Worker processes are killed by SIGKILL at every point of a payment: the effect never happens twice."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import pytest

from ratelimit_core import Limiter, RateLimited, Verdict
from ratelimit_core.answers import Result
from ratelimit_core.commands import Acquire, Command, Outcome, Reply, Settle
from ratelimit_core.stores.redis import RedisStore
from tests.faults.payments import EFFECTS, PATIENCE_US, asked, cashier, effects, left_over, patient_store, pay, payer
from tests.polling import until
from tests.servers import ServerUnderTest

PAYMENT = 7
TTL_US = 400_000

# Where the worker dies, how many effects there are then, and what its retry is told in the end.
DEATHS = {
    "before the claim": (0, Verdict.ALLOWED),
    "after the claim": (0, Verdict.OUTCOME_UNKNOWN),
    "before the effect": (0, Verdict.OUTCOME_UNKNOWN),
    "after the effect": (1, Verdict.OUTCOME_UNKNOWN),
    "before settling": (1, Verdict.OUTCOME_UNKNOWN),
    "after settling": (1, Verdict.REPLAY),
}
UNKNOWN = [point for point, (_, found) in DEATHS.items() if found is Verdict.OUTCOME_UNKNOWN]


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives this")


class DeadlyStore(RedisStore):
    """Kills its process around one kind of command; `point` says which."""

    point = ""

    def execute(self, command: Command, /) -> Reply:
        kind = {Acquire: "the claim", Settle: "settling"}.get(type(command))
        if self.point == f"before {kind}":
            die()
        reply = super().execute(command)
        if self.point == f"after {kind}":
            die()
        return reply


def work(url: str, point: str) -> None:
    """Run as a process: one payment, with a death at `point`."""
    store = DeadlyStore(url, patient_deadline_us=PATIENCE_US)
    store.point = point
    with ServerUnderTest(url).client() as client:

        def effect(payment: int) -> None:
            if point == "before the effect":
                die()
            client.hincrby(EFFECTS, str(payment))
            if point == "after the effect":
                die()

        pay(cashier(store, ttl_us=TTL_US), effect, PAYMENT)


def killed(server: ServerUnderTest, point: str) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(server.url, point))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    assert sum(effects(server).values()) == DEATHS[point][0]


def told(limiter: Limiter, effect: Callable[[], object]) -> Verdict:
    """One try of the same payment."""
    try:
        with limiter.guard(payer(PAYMENT), "pay", **asked(PAYMENT)) as block:
            effect()
            return block.decision.verdict
    except RateLimited as refused:
        return refused.decision.verdict


def retried(server: ServerUnderTest, limiter: Limiter) -> Verdict:
    """What a client that comes back while it is told to is told at last."""
    found = Verdict.IN_PROGRESS
    with server.client() as client:

        def answered() -> bool:
            nonlocal found
            found = told(limiter, partial(client.hincrby, EFFECTS, str(PAYMENT)))
            return found is not Verdict.IN_PROGRESS

        until(answered, "an answer")
    return found


@pytest.mark.parametrize("point", DEATHS)
def test_a_killed_worker_never_has_its_effect_happen_twice(redis_server: ServerUnderTest, point: str) -> None:
    killed(redis_server, point)
    limiter = cashier(patient_store(redis_server.url), ttl_us=TTL_US)
    happened, found = DEATHS[point]
    assert retried(redis_server, limiter) is found
    assert sum(effects(redis_server).values()) == happened + (found is Verdict.ALLOWED)
    assert retried(redis_server, limiter) is (Verdict.REPLAY if found is Verdict.ALLOWED else found)
    limiter.close()


@pytest.mark.parametrize("point", UNKNOWN)
def test_an_operator_ends_the_doubt_and_there_is_one_effect(redis_server: ServerUnderTest, point: str) -> None:
    killed(redis_server, point)
    limiter = cashier(patient_store(redis_server.url), ttl_us=TTL_US)
    key, fingerprint = asked(PAYMENT)["idempotency_key"], asked(PAYMENT)["fingerprint"]
    named = partial(limiter.resolve, "pay", payer(PAYMENT), idempotency_key=key, fingerprint=fingerprint)
    resolve = partial(named, result=Result(201, (), b"paid"))
    assert retried(redis_server, limiter) is Verdict.OUTCOME_UNKNOWN
    ending = Outcome.COMPLETED if DEATHS[point][0] else Outcome.RELEASED
    assert resolve(ending=ending) == 1
    assert retried(redis_server, limiter) is (Verdict.REPLAY if ending is Outcome.COMPLETED else Verdict.ALLOWED)
    assert effects(redis_server) == {str(PAYMENT): 1}
    assert resolve(ending=ending) == 3
    assert left_over(redis_server) == []
    limiter.close()


def test_the_lease_of_a_killed_worker_is_free_after_its_time(redis_server: ServerUnderTest) -> None:
    killed(redis_server, "before the effect")
    limiter = cashier(patient_store(redis_server.url), ttl_us=TTL_US)

    def another() -> Verdict:
        admission = limiter.admit(payer(PAYMENT), "pay", idempotency_key="another", route="/pay")
        limiter.settle(admission)
        return admission.decision.verdict

    assert [one for one in left_over(redis_server) if ":lock:" in one] != []
    until(lambda: another() is Verdict.ALLOWED, "the lease to lapse", seconds=5)
    limiter.close()
