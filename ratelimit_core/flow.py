"""The rules: every decision this limiter takes is taken here, without I/O, clock or randomness.

A flow is a generator. It yields a command, is sent the store's reply (or has a StoreError thrown into it) and
returns a value; `drive` carries the commands. One `Ask` becomes one `Acquire`:

1. Each bucket asked for becomes a *stance*: whom it charges, whether it is enforced for this request, and a refusal
   that is certain beforehand (a user is required, the cost can never fit).
2. The charges of all enforced stances stand or fall together. A bucket that only observes is charged beside them,
   on its own: what enforcement would have charged. If an enforced stance refuses, nothing is charged anywhere.
3. The rooms in the reply become one `Decision` a bucket.
4. Without the store each bucket's `store_down` decides: `open` by the process's own store with the same quotas,
   `closed` by a refusal, `allow` by nothing. All of it is marked degraded.

Where a refusal is certain the charges are asked with cost 0, which reads the quotas and never writes.
"""

from collections.abc import Callable, Iterable

from ratelimit_core.buckets import Mode
from ratelimit_core.commands import (
    Acquire,
    Finding,
    Flow,
    Local,
    Outcome,
    Peek,
    Reply,
    Reset,
    Settle,
    Shield,
    Shielded,
    numbers,
)
from ratelimit_core.config import Config, Policy
from ratelimit_core.decision import Admission, Decision, Held, Mark, Verdict
from ratelimit_core.errors import ConfigurationError, CostError, StoreError
from ratelimit_core.identity import Identity, Located
from ratelimit_core.stances import (
    Ask,
    Stance,
    acquire,
    charges,
    enforces,
    locate,
    mark,
    needs_no_store,
    peek_at,
    retake,
    take,
)

_FINDINGS = {
    Finding.LEASED_OUT: Verdict.CONCURRENCY_LIMITED,
    Finding.REPLAY: Verdict.REPLAY,
    Finding.IN_PROGRESS: Verdict.IN_PROGRESS,
    Finding.KEY_REUSED: Verdict.KEY_REUSED,
    Finding.OUTCOME_UNKNOWN: Verdict.OUTCOME_UNKNOWN,
    Finding.REPLAY_LIMITED: Verdict.RATE_LIMITED,
}
_WAITS_US = {Finding.LEASED_OUT: 1_000_000, Finding.IN_PROGRESS: 1_000_000}


def admit(config: Config, ask: Ask) -> Flow[Admission]:
    """Admit a request to its buckets; raises CostError and ConfigurationError for what can't be asked."""
    return _consult(config, ask, acquire)


def peek(config: Config, ask: Ask) -> Flow[Admission]:
    """What `admit` would answer now; charges nothing."""
    return _consult(config, ask, peek_at)


def settle(admission: Admission, outcome: Outcome, answer: bytes = b"") -> Flow[bool]:
    """Give back what an admission holds; returns whether all of it was still held."""
    kept = True
    for held in admission.held:
        kept &= yield from _give_back(held.shield, outcome, answer)
    return kept


def _give_back(shield: Shield, outcome: Outcome, answer: bytes = b"") -> Flow[bool]:
    """Best effort: what the store does not hear of ends by its own deadline."""
    try:
        reply = yield Settle(shield, outcome, answer)
    except StoreError:
        return False
    _, lease, claim = numbers(reply)
    return lease >= (shield.lease is not None) and claim >= (shield.claim is not None)


def reset(config: Config, identity: Identity, buckets: tuple[str, ...], scope: str | None = None) -> Flow[int]:
    """Forget what an identity has spent in these buckets; returns how many quotas had anything to forget."""
    names = []
    for name in buckets:
        names += [charge.key for charge in charges(config, config.policy(name).bucket, identity, scope, 0)]
    reply = yield Reset(tuple(names))
    return numbers(reply)[1]


def _consult(config: Config, ask: Ask, command: "_MakeCommand") -> Flow[Admission]:
    if isinstance(ask.cost, bool) or not isinstance(ask.cost, int) or ask.cost < 0:
        raise CostError(ask.cost)
    if not ask.buckets:
        raise ConfigurationError("bucket", ask.buckets, "at least one name")
    located = locate(config, ask)
    policies = _wanted(config, ask)
    before = _before(config, ask)
    refused = any(not decision.allowed for decision in before)
    stances = take(ask, located, policies, refused)
    if not stances:
        return _admission(config, ask, located, policies, before, ())
    asked = command(config, ask, stances)
    shield = asked.shield if isinstance(asked, Acquire) else None
    try:
        reply = yield Local(asked) if needs_no_store(stances) else asked
    except StoreError as error:
        if shield is not None and error.kind == "timeout":
            yield from _give_back(shield, Outcome.RELEASED)  # it may have been taken, and no handler will start
        stances = retake(stances, error)
        reply = yield Local(command(config, ask, stances))
    admission = _admission(config, ask, located, policies, before, _decide(ask, stances, reply))
    return _holding(admission, stances, shield, reply)


def _wanted(config: Config, ask: Ask) -> list[Policy]:
    """The policies asked for, each once, without those that this request has passed already."""
    had = () if ask.prior is None else ask.prior.marks
    return [config.policy(name) for name in dict.fromkeys(ask.buckets) if mark(ask, name) not in had]


_MakeCommand = Callable[[Config, Ask, list[Stance]], Acquire | Peek]


def _decide(ask: Ask, stances: list[Stance], reply: Reply) -> list[Decision]:
    """Read the reply: the rooms of the enforced stances come first, then those of the others."""
    rooms = numbers(reply)
    found = []
    at = 1
    for stance in sorted(stances, key=lambda stance: not stance.enforced):
        own = rooms[at : at + len(stance.bucket.quotas)]
        at += len(own)
        verdict, wait_us = _verdict(stance, own, reply if isinstance(reply, Shielded) else None)
        found.append((stance, own, verdict, wait_us))
    lost = any(stance.enforced and verdict is not Verdict.ALLOWED for stance, _, verdict, _ in found)
    return [_decision(ask, rooms[0], lost, *one) for one in found]


def _verdict(stance: Stance, rooms: tuple[int, ...], shielded: Shielded | None) -> tuple[Verdict, int]:
    """What was found for one bucket, and how many microseconds to wait."""
    if stance.verdict is not Verdict.ALLOWED:
        return stance.verdict, stance.wait_us
    if shielded is not None and stance.bucket.shielded and shielded.finding in _FINDINGS:
        return _FINDINGS[shielded.finding], shielded.wait_us or _WAITS_US.get(shielded.finding, 0)
    if min(rooms) < 0:
        return Verdict.RATE_LIMITED, -min(rooms)
    return Verdict.ALLOWED, 0


def _decision(
    ask: Ask, now_us: int, lost: bool, stance: Stance, rooms: tuple[int, ...], verdict: Verdict, wait_us: int
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
        0 if stance.free else ask.cost,
        now_us,
        wait_us,
    )


def _off(policy: Policy) -> Decision:
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


def _admission(
    config: Config,
    ask: Ask,
    located: Located | None,
    policies: list[Policy],
    before: tuple[Decision, ...],
    decisions: Iterable[Decision],
) -> Admission:
    decided = {decision.bucket: decision for decision in decisions}
    fresh = tuple(decided.get(policy.bucket.name) or _off(policy) for policy in policies)
    marks = tuple(mark(ask, decision.bucket) for decision in fresh)
    note = None if located is None else located.note
    prior = ask.prior
    if prior is None:
        return Admission(config, fresh, marks, ask.route, note)
    marks = prior.marks + marks
    return Admission(config, before + fresh, marks, ask.route or prior.route, note, len(before), prior.held)


def _holding(admission: Admission, stances: list[Stance], shield: Shield | None, reply: Reply) -> Admission:
    """The admission with what the reply says of its shield."""
    if shield is None or not isinstance(reply, Shielded):
        return admission
    name = next(stance.bucket.name for stance in stances if stance.bucket.shielded)
    held = () if reply.finding is not Finding.HELD else (Held(name, shield, reply.fence, reply.generation),)
    return admission.holding(held, reply.answer)


def _before(config: Config, ask: Ask) -> tuple[Decision, ...]:
    """The decisions that were taken for this request before, as they stand now."""
    if ask.prior is None:
        return ()
    kept = zip(ask.prior.marks, ask.prior.decisions, strict=True)
    return tuple(_upheld(config, ask, known, decision) for known, decision in kept)


def _upheld(config: Config, ask: Ask, known: Mark, decision: Decision) -> Decision:
    """A decision taken before; what was only observed then is enforced where it is asked for in earnest now."""
    name = known[0]
    if ask.observe or decision.enforced or name not in ask.buckets or known != mark(ask, name):
        return decision
    return decision._replace(enforced=enforces(config.policy(name), decision.identity))
