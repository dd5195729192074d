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

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from ratelimit_core import keys
from ratelimit_core.buckets import Bucket, Identify, Mode, StoreDown
from ratelimit_core.commands import Acquire, Charge, Flow, Local, Peek, Reply, Reset
from ratelimit_core.config import Config, Policy
from ratelimit_core.decision import Admission, Decision, Mark, Verdict
from ratelimit_core.errors import CostError, StoreError
from ratelimit_core.identity import Identity, Located, RequestInfo

_SHARES = 10_000


class Ask(NamedTuple):
    """What a door asks for: may `who` pass these buckets?

    `identity` replaces the one that is charged, `scope` narrows it. `observe` lets nothing be enforced. `prior` is
    what the request was admitted to before: a bucket already charged for it is not charged again.
    """

    who: Identity | RequestInfo
    buckets: tuple[str, ...]
    cost: int = 1
    scope: str | None = None
    route: str | None = None
    identity: Identity | None = None
    observe: bool = False
    prior: Admission | None = None


class Stance(NamedTuple):
    """One bucket's position towards one request before the store is asked; `free` asks with cost 0."""

    bucket: Bucket
    mode: Mode
    enforced: bool
    identity: Identity
    verdict: Verdict
    free: bool = False
    degraded: bool = False
    wait_us: int = 0


def admit(config: Config, ask: Ask) -> Flow[Admission]:
    """Admit a request to its buckets; raises CostError and ConfigurationError for what can't be asked."""
    return _consult(config, ask, _acquire)


def peek(config: Config, ask: Ask) -> Flow[Admission]:
    """What `admit` would answer now; charges nothing."""
    return _consult(config, ask, _peek)


def reset(config: Config, identity: Identity, buckets: tuple[str, ...], scope: str | None = None) -> Flow[int]:
    """Forget what an identity has spent in these buckets; returns how many quotas had anything to forget."""
    names = []
    for name in buckets:
        names += [charge.key for charge in _charges(config, config.policy(name).bucket, identity, scope, 0)]
    reply = yield Reset(tuple(names))
    return reply[1]


def _consult(config: Config, ask: Ask, command: "_MakeCommand") -> Flow[Admission]:
    if isinstance(ask.cost, bool) or not isinstance(ask.cost, int) or ask.cost < 0:
        raise CostError(ask.cost)
    located = _locate(config, ask)
    policies = _wanted(config, ask)
    stances = _foregone([_stance(policy, ask, located) for policy in policies if policy.mode is not Mode.OFF])
    reply: Reply = ()
    if stances:
        try:
            asked = command(config, ask, stances)
            reply = yield Local(asked) if _needs_no_store(stances) else asked
        except StoreError as error:
            stances = _foregone([_without_store(stance, error) for stance in stances])
            reply = yield Local(command(config, ask, stances))
    decided = {decision.bucket: decision for decision in _decide(ask, stances, reply)}
    fresh = tuple(decided.get(policy.bucket.name) or _off(policy) for policy in policies)
    return _admission(config, ask, located, fresh)


def _wanted(config: Config, ask: Ask) -> list[Policy]:
    """The policies asked for, each once, without those that this request has passed already."""
    had = () if ask.prior is None else ask.prior.marks
    return [config.policy(name) for name in dict.fromkeys(ask.buckets) if _mark(ask, name) not in had]


def _mark(ask: Ask, name: str) -> Mark:
    return name, ask.scope or "", "" if ask.identity is None else str(ask.identity)


def _locate(config: Config, ask: Ask) -> Located | None:
    """The address of a request that has no user, or that a bucket may want all the same."""
    who = ask.who
    return config.proxies.locate(who.peer, who.forwarded_for) if isinstance(who, RequestInfo) else None


def _stance(policy: Policy, ask: Ask, located: Located | None) -> Stance:
    bucket = policy.bucket
    who = ask.who if isinstance(ask.who, Identity) else ask.who.user
    address = None if located is None else located.identity
    known = who is not None and who.kind != "ip"
    identity = ask.identity or (address if bucket.identify is Identify.ADDRESS else who) or who or address
    assert identity is not None  # a RequestInfo has an address, anything else is an Identity
    enforced = not ask.observe and _enforces(policy, identity)
    verdict = Verdict.ALLOWED
    if bucket.require_user and not known:
        verdict = Verdict.USER_REQUIRED
    elif any(ask.cost > quota.burst for quota in bucket.quotas):
        verdict = Verdict.COST_TOO_LARGE
    return Stance(bucket, policy.mode, enforced, identity, verdict)


def _enforces(policy: Policy, identity: Identity | None) -> bool:
    if policy.mode is Mode.CANARY and identity is not None:
        return in_canary(policy.bucket, identity)
    return policy.mode is Mode.ENFORCE


def in_canary(bucket: Bucket, identity: Identity) -> bool:
    """Whether an identity is among the share for which a canary enforces: the same one in every process."""
    digest = sha256(f"{bucket.name}|{identity}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % _SHARES < bucket.canary_percent * _SHARES / 100


def _foregone(stances: list[Stance]) -> list[Stance]:
    """Mark as free what must not be charged: a stance refused beforehand, and all of them if that is enforced."""
    lost = any(stance.enforced and stance.verdict is not Verdict.ALLOWED for stance in stances)
    return [
        stance._replace(free=True) if lost or stance.verdict is not Verdict.ALLOWED else stance for stance in stances
    ]


def _needs_no_store(stances: list[Stance]) -> bool:
    return any(stance.enforced and stance.verdict is Verdict.USER_REQUIRED for stance in stances)


def _without_store(stance: Stance, error: StoreError) -> Stance:
    policy = stance.bucket.store_down
    if policy is StoreDown.CLOSED and stance.verdict is Verdict.ALLOWED:
        return stance._replace(verdict=Verdict.STORE_DOWN, degraded=True, wait_us=error.wait_us)
    return stance._replace(degraded=True, free=stance.free or policy is StoreDown.ALLOW)


def _charges(config: Config, bucket: Bucket, identity: Identity, scope: str | None, cost: int) -> tuple[Charge, ...]:
    return tuple(
        Charge(
            keys.quota(config.namespace, bucket.name, identity, scope, quota.label if index else None),
            quota.tolerance_us,
            quota.interval_us * cost,
        )
        for index, quota in enumerate(bucket.quotas)
    )


def _groups(config: Config, ask: Ask, stances: list[Stance]) -> tuple[tuple[Charge, ...], ...]:
    return tuple(
        _charges(config, stance.bucket, stance.identity, ask.scope, 0 if stance.free else ask.cost)
        for stance in stances
    )


def _acquire(config: Config, ask: Ask, stances: list[Stance]) -> Acquire:
    patient = any(stance.bucket.store_down is StoreDown.CLOSED for stance in stances)
    binding = _groups(config, ask, [stance for stance in stances if stance.enforced])
    observed = _groups(config, ask, [stance for stance in stances if not stance.enforced])
    return Acquire(tuple(charge for group in binding for charge in group), observed, patient)


def _peek(config: Config, ask: Ask, stances: list[Stance]) -> Peek:
    return Peek(_acquire(config, ask, stances).all_charges())


_MakeCommand = Callable[[Config, Ask, list[Stance]], Acquire | Peek]


def _decide(ask: Ask, stances: list[Stance], reply: Reply) -> list[Decision]:
    """Read the reply: the rooms of the enforced stances come first, then those of the others."""
    found = []
    at = 1
    for stance in sorted(stances, key=lambda stance: not stance.enforced):
        rooms = reply[at : at + len(stance.bucket.quotas)]
        at += len(rooms)
        found.append((stance, rooms, _verdict(stance, rooms)))
    lost = any(stance.enforced and verdict is not Verdict.ALLOWED for stance, _, verdict in found)
    return [_decision(ask, reply[0], lost, *one) for one in found]


def _verdict(stance: Stance, rooms: Reply) -> Verdict:
    if stance.verdict is Verdict.ALLOWED and min(rooms) < 0:
        return Verdict.RATE_LIMITED
    return stance.verdict


def _decision(ask: Ask, now_us: int, lost: bool, stance: Stance, rooms: Reply, verdict: Verdict) -> Decision:
    wait_us = stance.wait_us
    if verdict is Verdict.STORE_DOWN:
        rooms = (0,) * len(rooms)  # nothing is known: promise nothing
    elif verdict is Verdict.RATE_LIMITED:
        wait_us = -min(rooms)
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
    return Decision(Verdict.ALLOWED, policy.bucket.name, None, Mode.OFF, False, False, False, (), (), 0, 0, 0)


def _admission(config: Config, ask: Ask, located: Located | None, fresh: tuple[Decision, ...]) -> Admission:
    marks = tuple(_mark(ask, decision.bucket) for decision in fresh)
    note = None if located is None else located.note
    if ask.prior is None:
        return Admission(config, fresh, marks, ask.route, note)
    kept = zip(ask.prior.marks, ask.prior.decisions, strict=True)
    before = tuple(_upheld(config, ask, mark, decision) for mark, decision in kept)
    return Admission(config, before + fresh, ask.prior.marks + marks, ask.route or ask.prior.route, note, len(before))


def _upheld(config: Config, ask: Ask, mark: Mark, decision: Decision) -> Decision:
    """A decision taken before; what was only observed then is enforced where it is asked for in earnest now."""
    name = mark[0]
    if ask.observe or decision.enforced or name not in ask.buckets or mark != _mark(ask, name):
        return decision
    return decision._replace(enforced=_enforces(config.policy(name), decision.identity))
