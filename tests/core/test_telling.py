"""Sinks hear of decisions and endings; an operator hears of what is lost, once each."""

import pytest

from ratelimit_core import Bucket, Identity
from ratelimit_core.commands import Charge, Claim, Lease, Outcome, Shield
from ratelimit_core.decision import Held, Settled
from ratelimit_core.events import Event, SettleEvent
from ratelimit_core.telling import Teller

PAY = Bucket("pay", quota="5/m:1", concurrency=1, store_down="closed")  # type: ignore[arg-type]  # text is read


def held(at: int | None = None) -> Held:
    return Held(PAY, Identity.user("alice"), Shield("a", Lease("l", 1, 30), None, at), 7, 3, explicit=True)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("at", [None, 0])
def test_a_sink_hears_how_a_shield_ended(kept: bool, at: int | None) -> None:
    told: list[Event] = []
    teller = Teller((told.append,))
    teller.ended((Settled(held(at), Outcome.UNKNOWN, kept),), "/pay/")
    assert told == [SettleEvent("pay", "user:alice", "/pay/", Outcome.UNKNOWN, not kept, at is not None, claimed=False)]
    assert teller.counts()["shields_lost"] == (not kept)


def test_every_lost_shield_is_counted_whether_or_not_anybody_listens() -> None:
    teller = Teller(())
    teller.ended((Settled(held(), Outcome.COMPLETED, kept=False),) * 2, None)
    assert teller.counts() == {"shields_lost": 2}


def test_a_shield_lost_while_its_handler_runs_is_logged_with_its_bucket(caplog: pytest.LogCaptureFixture) -> None:
    Teller(()).lost(held())
    assert [record.getMessage() for record in caplog.records] == [
        "A lease or claim of bucket 'pay' was lost while its handler ran."
    ]


def test_a_sink_that_raises_at_an_ending_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    def bad(event: object, /) -> None:
        raise OSError("no disk")

    teller = Teller((bad,))
    teller.ended((Settled(held(), Outcome.COMPLETED, kept=True),), None)
    assert teller.counts() == {"shields_lost": 0, "sink_errors": 1}
    assert len(caplog.records) == 1


def test_an_operator_can_name_a_record_that_is_in_doubt(caplog: pytest.LogCaptureFixture) -> None:
    claim = Claim("k", "f00d", 1, 1, 1, Charge("r", 1, 1))
    doubted = held()._replace(shield=Shield("a", None, claim), explicit=False, identity=Identity.user("a\nb"))
    Teller(()).ended(
        (Settled(doubted, Outcome.UNKNOWN, kept=True), Settled(held(), Outcome.UNKNOWN, kept=True)), "/pay/"
    )
    assert [record.getMessage() for record in caplog.records] == [
        "An outcome is unknown: bucket 'pay', identity 'user:a\\nb', route '/pay/', without a key, fingerprint f00d."
    ]
