"""From a store's reply to decisions: what was found for each bucket, in the order in which it was looked for.

The record is looked up before any quota is asked. So where an enforced shield found its request there, that is the
answer, whatever other quotas would have said: a second click is given its answer and no 429.
"""

from typing import NamedTuple

from ratelimit_core.buckets import Mode
from ratelimit_core.commands import Finding, Reply, Shielded, numbers
from ratelimit_core.config import Policy
from ratelimit_core.decision import Decision, Verdict
from ratelimit_core.stances import Ask, Stance

_FINDINGS = {
    Finding.LEASED_OUT: Verdict.CONCURRENCY_LIMITED,
    Finding.REPLAY: Verdict.REPLAY,
    Finding.IN_PROGRESS: Verdict.IN_PROGRESS,
    Finding.KEY_REUSED: Verdict.KEY_REUSED,
    Finding.OUTCOME_UNKNOWN: Verdict.OUTCOME_UNKNOWN,
    Finding.REPLAY_LIMITED: Verdict.RATE_LIMITED,
}
_WAITS_US = {Finding.LEASED_OUT: 1_000_000, Finding.IN_PROGRESS: 1_000_000}


class _Found(NamedTuple):
    """What a shield's reply says: a refusal or None, its wait, whether it was found before any quota was asked."""

    verdict: Verdict | None = None
    wait_us: int = 0
    first: bool = False
    replays: bool = False


_NOTHING = _Found()


def decide(ask: Ask, stances: list[Stance], reply: Reply) -> list[Decision]:
    """Read the reply: the rooms of the enforced stances come first, then those of the others."""
    rooms = numbers(reply)
    finding = _find(stances, reply)
    found = []
    at = 1
    lost = False
    for stance in sorted(stances, key=lambda stance: not stance.enforced):
        own = rooms[at : at + len(stance.bucket.quotas)]
        at += len(own)
        verdict, wait_us, replays = _verdict(stance, own, finding)
        lost = lost or (stance.enforced and verdict is not Verdict.ALLOWED)
        found.append((stance, own, verdict, wait_us, replays))
    return [_decision(ask, rooms[0], lost, *one) for one in found]


def _find(stances: list[Stance], reply: Reply) -> _Found:
    if not isinstance(reply, Shielded) or reply.finding not in _FINDINGS:
        return _NOTHING
    enforced = any(stance.enforced and stance.bucket.shielded for stance in stances)
    wait_us = reply.wait_us or _WAITS_US.get(reply.finding, 0)
    first = enforced and reply.finding is not Finding.LEASED_OUT
    return _Found(_FINDINGS[reply.finding], wait_us, first, reply.finding is Finding.REPLAY_LIMITED)


def _verdict(stance: Stance, rooms: tuple[int, ...], found: _Found) -> tuple[Verdict, int, bool]:
    """What was found for one bucket, how many microseconds to wait, and whether the quota of replays refused."""
    if stance.verdict is not Verdict.ALLOWED:
        return stance.verdict, stance.wait_us, False
    if found.verdict is not None and stance.bucket.shielded:
        return found.verdict, found.wait_us, found.replays
    if min(rooms) < 0 and not found.first:
        return Verdict.RATE_LIMITED, -min(rooms), False
    return Verdict.ALLOWED, 0, False


def _decision(
    ask: Ask,
    now_us: int,
    lost: bool,
    stance: Stance,
    rooms: tuple[int, ...],
    verdict: Verdict,
    wait_us: int,
    replays: bool,
) -> Decision:
    if verdict is Verdict.STORE_DOWN:
        rooms = (0,) * len(rooms)  # nothing is known: promise nothing
    return Decision(
        verdict,
        stance.bucket.name,
        stance.identity,
        stance.mode,
        stance.enforced,
        stance.degraded,
        verdict is Verdict.ALLOWED and not lost and not stance.free,
        stance.bucket.quotas,
        rooms,
        stance.cost(ask),
        now_us,
        wait_us,
        replays,
        stance.paid,
    )


def off(policy: Policy) -> Decision:
    """The kill switch and mode `off`: the store was not asked and there are no numbers."""
    return Decision(
        verdict=Verdict.ALLOWED,
        bucket=policy.bucket.name,
        identity=None,
        mode=Mode.OFF,
        enforced=False,
        degraded=False,
        charged=False,
        quotas=(),
        rooms=(),
        cost=0,
        now_us=0,
        wait_us=0,
    )
