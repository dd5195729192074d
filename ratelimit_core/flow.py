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

from ratelimit_core.answers import Answer, Result, decode, encode, outcome
from ratelimit_core.commands import (
    Acquire,
    Finding,
    Flow,
    Local,
    Outcome,
    Peek,
    Reply,
    Reset,
    Resolve,
    Settle,
    Shield,
    Shielded,
    numbers,
)
from ratelimit_core.config import Config, Policy
from ratelimit_core.decision import Admission, Decision, Held, Mark, Settled, Verdict
from ratelimit_core.errors import ConfigurationError, CostError, StoreError
from ratelimit_core.findings import decide, off
from ratelimit_core.identity import Identity, Located
from ratelimit_core.shielding import Wish, record_claim
from ratelimit_core.stances import (
    Ask,
    Stance,
    acquire,
    charges,
    enforces,
    knows_user,
    locate,
    mark,
    needs_no_store,
    peek_at,
    retake,
    same_budget,
    take,
)

# Failures after which a command may have been carried out, or may be yet.
_PERHAPS_TAKEN = frozenset({"timeout", "connection", "cancelled"})


def admit(config: Config, ask: Ask) -> Flow[Admission]:
    """Admit a request to its buckets; raises CostError and ConfigurationError for what can't be asked."""
    return _consult(config, ask, acquire)


def peek(config: Config, ask: Ask) -> Flow[Admission]:
    """What `admit` would answer now; charges nothing."""
    return _consult(config, ask, peek_at)


def settle(admission: Admission, result: Result, prior: Admission | None = None) -> Flow[tuple[Settled, ...]]:
    """Give back what an admission holds and `prior` did not, and end its claims as the result says."""
    before = () if prior is None else prior.held
    settled = []
    for held in admission.held:
        if held not in before:
            ending = outcome(held.bucket, result, explicit=held.explicit)
            stored = encode(result) if ending is Outcome.COMPLETED and held.shield.at is None else b""
            kept = yield from _give_back(held.shield, ending, stored)
            settled.append(Settled(held, ending, kept))
    return tuple(settled)


def _give_back(shield: Shield, outcome: Outcome, answer: bytes = b"") -> Flow[bool]:
    """Best effort: what the store does not hear of ends by its own deadline."""
    try:
        reply = yield Settle(shield, outcome, answer)
    except StoreError:
        return False
    _, lease, claim = numbers(reply)
    return lease >= (shield.lease is not None) and claim >= (shield.claim is not None)


def resolve(config: Config, name: str, identity: Identity, wish: Wish, ending: Outcome, result: Result) -> Flow[int]:
    """End a claim whose outcome is unknown, by an operator's word; returns the state that `Resolve` replies."""
    claim = record_claim(config.namespace, config.policy(name).bucket, identity, wish)
    reply = yield Resolve(claim, ending, encode(result) if ending is Outcome.COMPLETED else b"")
    return numbers(reply)[1]


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
    before = _before(config, ask)
    policies = _wanted(config, ask, before)
    refused = any(not decision.allowed for decision in before.values())
    stances = take(ask, located, policies, refused)
    if not stances:
        return _admission(config, ask, located, policies, before, ())
    asked = command(config, ask, stances)
    shield = asked.shield if isinstance(asked, Acquire) else None
    answer = None
    try:
        reply = yield Local(asked) if needs_no_store(stances) else asked
        answer = _answer(reply)
    except StoreError as error:
        if shield is not None and error.kind in _PERHAPS_TAKEN:
            yield from _give_back(shield, Outcome.RELEASED)  # it may have been taken, and no handler will start
        stances = retake(stances, error)
        reply = yield Local(command(config, ask, stances))
    admission = _admission(config, ask, located, policies, before, decide(ask, stances, reply))
    return _holding(admission, stances, ask, shield, reply, answer)


def _wanted(config: Config, ask: Ask, before: dict[Mark, Decision]) -> list[Policy]:
    """The policies asked for, each once, without those that this request has passed already."""
    return [config.policy(name) for name in dict.fromkeys(ask.buckets) if mark(ask, name) not in before]


_MakeCommand = Callable[[Config, Ask, list[Stance]], Acquire | Peek]


def _admission(
    config: Config,
    ask: Ask,
    located: Located | None,
    policies: list[Policy],
    before: dict[Mark, Decision],
    decisions: Iterable[Decision],
) -> Admission:
    decided = {decision.bucket: decision for decision in decisions}
    fresh = tuple([decided.get(policy.bucket.name) or off(policy) for policy in policies])
    marks = tuple([mark(ask, decision.bucket) for decision in fresh])
    note = None if located is None else located.note
    prior = ask.prior
    if prior is None:
        return Admission(config, fresh, marks, ask.route, note)
    decisions = (*before.values(), *fresh)
    kept = sum(before.get(known) == decision for known, decision in zip(prior.marks, prior.decisions, strict=True))
    return Admission(
        config, decisions, (*before, *marks), ask.route or prior.route, note, kept, prior.held, prior.answer
    )


def _answer(reply: Reply) -> Answer | None:
    """The stored answer of a replay; raises StoreError for a value that is none."""
    if not isinstance(reply, Shielded) or not reply.answer:
        return None
    try:
        return decode(reply.answer)
    except ValueError as error:
        raise StoreError("corrupt", f"a record holds no answer ({error})") from error


def _holding(
    admission: Admission,
    stances: list[Stance],
    ask: Ask,
    shield: Shield | None,
    reply: Reply,
    answer: Answer | None,
) -> Admission:
    """The admission with what the reply says of its shield."""
    if shield is None or not isinstance(reply, Shielded):
        return admission
    if reply.finding is not Finding.HELD:
        return admission.holding((), answer, shield)
    stance = next(stance for stance in stances if stance.bucket.shielded)
    explicit = ask.wish.idempotency_key is not None
    held = Held(stance.bucket, stance.identity, shield, reply.fence, reply.generation, explicit)
    return admission.holding((held,), None)


def _before(config: Config, ask: Ask) -> dict[Mark, Decision]:
    """The decisions taken for this request before, but those to be taken again; what changes now comes last."""
    if ask.prior is None:
        return {}
    same: dict[Mark, Decision] = {}
    upheld: dict[Mark, Decision] = {}
    for known, decision in zip(ask.prior.marks, ask.prior.decisions, strict=True):
        if known[0] not in ask.buckets or known != mark(ask, known[0]):
            same[known] = decision
        elif not _again(config, ask, decision):
            earnest = _earnest(config, ask, decision)
            (upheld if earnest else same)[known] = decision._replace(enforced=decision.enforced or earnest)
    return same | upheld


def _earnest(config: Config, ask: Ask, decision: Decision) -> bool:
    """Whether what was only observed is asked for in earnest now."""
    return not (ask.observe or decision.enforced) and enforces(config.policy(decision.bucket), decision.identity)


def _again(config: Config, ask: Ask, decision: Decision) -> bool:
    """Whether a bucket must be asked again, for what was not asked or not charged before.

    It is another bucket of the same name; nobody was known then; more is to be charged now; or it was only observed,
    without the shield that it needs in earnest.
    """
    bucket = config.policy(decision.bucket).bucket
    if ask.prior is not None and not same_budget(ask.prior, bucket):
        return True
    if decision.verdict is Verdict.USER_REQUIRED and knows_user(ask):
        return True
    if decision.charged and decision.paid + decision.cost < ask.cost:
        return True
    return bucket.shielded and _earnest(config, ask, decision)
