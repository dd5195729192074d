"""A reply is lost on its way: what was charged is unknown. It is charged once at most, and nothing is tried again."""

import pytest

from tests.faults.limiters import BURST, both_faces, errors, limiter_on
from tests.faults.proxy import Proxy
from tests.polling import until
from tests.servers import ServerUnderTest


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize("bucket", ["plain", "closed"])
def test_a_lost_reply_charges_once_and_is_not_asked_for_again(
    redis_server: ServerUnderTest, proxy: Proxy, face: str, bucket: str
) -> None:
    limiter = limiter_on(proxy.url)
    with both_faces(limiter) as admits:
        admit = admits[face]
        assert admit(bucket).decision.remaining == BURST - 1
        proxy.swallowing = True
        with redis_server.monitor() as seen:
            lost = admit(bucket)
            until(lambda: proxy.swallowed > 0, "the reply to be swallowed")
        proxy.swallowing = False
        assert seen.names() == ["EVALSHA"]
        assert lost.decision.degraded
        assert lost.allowed is (bucket == "plain")
        assert errors(limiter) == 1
        after = admit(bucket)
        assert not after.decision.degraded
        assert after.decision.remaining == BURST - 3, "one unit each: before, lost and after"
        assert [admit(bucket).allowed for _ in range(BURST)] == [True] * 2 + [False] * 3


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_late_reply_is_nobody_elses_answer(redis_server: ServerUnderTest, proxy: Proxy, face: str) -> None:
    limiter = limiter_on(proxy.url, pool_size=1)
    with both_faces(limiter) as admits:
        proxy.swallowing = True
        assert admits[face]("plain").decision.degraded
        proxy.swallowing = False
        limiter.store._breaker.succeeded()  # type: ignore[attr-defined]  # as after its cooldown
        decision = admits[face]("busy").decision
        assert not decision.degraded
        assert decision.limit == 1_000_000
        assert decision.remaining == 999_999
