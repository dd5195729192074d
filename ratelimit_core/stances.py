"""Where each bucket stands towards a request before the store is asked, and the commands that follow from it."""

from hashlib import sha256
from typing import NamedTuple

from ratelimit_core import keys
from ratelimit_core.buckets import Bucket, Identify, Mode, StoreDown
from ratelimit_core.commands import Acquire, Charge, Peek, Shield
from ratelimit_core.config import Config, Policy
from ratelimit_core.decision import Admission, Mark, Verdict
from ratelimit_core.errors import ConfigurationError, StoreError
from ratelimit_core.identity import Identity, Located, RequestInfo
from ratelimit_core.shielding import Wish, objection, shield

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
    wish: Wish = Wish()


class Stance(NamedTuple):
    """One bucket's position towards one request before the store is asked.

    `free` asks with cost 0; `paid` units were charged for this request before and are not charged again.
    """

    bucket: Bucket
    mode: Mode
    enforced: bool
    identity: Identity
    verdict: Verdict
    free: bool = False
    paid: int = 0
    degraded: bool = False
    wait_us: int = 0

    def cost(self, ask: "Ask") -> int:
        """What this bucket is asked for now."""
        return 0 if self.free else max(0, ask.cost - self.paid)


def mark(ask: Ask, name: str) -> Mark:
    """What one charge is known by within a request."""
    return name, ask.scope, ask.identity


def take(ask: Ask, located: Located | None, policies: list[Policy], refused: bool) -> list[Stance]:
    """The stances of those buckets that are not off; `refused` says that the request is, whatever they find."""
    stances = [_stance(policy, ask, located) for policy in policies if policy.mode is not Mode.OFF]
    return _foregone(stances, refused)


def retake(stances: list[Stance], error: StoreError) -> list[Stance]:
    """The same stances without a store, each by its bucket's `store_down`."""
    return _foregone([_without_store(stance, error) for stance in stances])


def locate(config: Config, ask: Ask) -> Located | None:
    """The address of a request that has no user, or that a bucket may want all the same."""
    who = ask.who
    return config.proxies.locate(who.peer, who.forwarded_for) if isinstance(who, RequestInfo) else None


def _stance(policy: Policy, ask: Ask, located: Located | None) -> Stance:
    bucket = policy.bucket
    who = _asker(ask)
    address = None if located is None else located.identity
    identity = ask.identity or (address if bucket.identify is Identify.ADDRESS else who) or who or address
    assert identity is not None  # a RequestInfo has an address, anything else is an Identity
    enforced = not ask.observe and enforces(policy, identity)
    verdict = Verdict.ALLOWED
    if bucket.require_user and not knows_user(ask):
        verdict = Verdict.USER_REQUIRED
    elif (objected := objection(bucket, identity, ask.wish)) is not Verdict.ALLOWED:
        verdict = objected
    elif ask.cost > bucket.least_burst:
        verdict = Verdict.COST_TOO_LARGE
    return Stance(bucket, policy.mode, enforced, identity, verdict, paid=_paid(ask, bucket))


def _paid(ask: Ask, bucket: Bucket) -> int:
    """The units that this request was charged for the bucket before."""
    if ask.prior is None or not same_budget(ask.prior, bucket):
        return 0
    before = zip(ask.prior.marks, ask.prior.decisions, strict=True)
    return sum(one.paid + one.cost for known, one in before if known == mark(ask, bucket.name) and one.charged)


def same_budget(prior: Admission, bucket: Bucket) -> bool:
    """Whether another door's bucket of that name is the same one: two limiters may have names in common."""
    policy = prior.config.policies.get(bucket.name)
    return policy is not None and policy.bucket.quotas == bucket.quotas


def knows_user(ask: Ask) -> bool:
    """Whether somebody is known who may stand for a user."""
    who = _asker(ask)
    return who is not None and who.kind != "ip"


def _asker(ask: Ask) -> Identity | None:
    """Whose request it is, whoever is charged for it."""
    return ask.who if isinstance(ask.who, Identity) else ask.who.user


def enforces(policy: Policy, identity: Identity | None) -> bool:
    """Whether a policy's mode enforces for this identity."""
    if policy.mode is Mode.CANARY and identity is not None:
        return in_canary(policy.bucket, identity)
    return policy.mode is Mode.ENFORCE


def in_canary(bucket: Bucket, identity: Identity) -> bool:
    """Whether an identity is among the share for which a canary enforces: the same one in every process."""
    digest = sha256(f"{bucket.name}|{identity}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % _SHARES < bucket.canary_percent * _SHARES / 100


def _foregone(stances: list[Stance], refused: bool = False) -> list[Stance]:
    """Mark as free what must not be charged: a stance refused beforehand, and all of them if that is enforced."""
    objected = [stance for stance in stances if stance.verdict is not Verdict.ALLOWED]
    if not objected and not refused:
        return stances
    lost = refused or any(stance.enforced for stance in objected)
    return [
        stance._replace(free=True) if lost or stance.verdict is not Verdict.ALLOWED else stance for stance in stances
    ]


def needs_no_store(stances: list[Stance]) -> bool:
    """Whether the refusal is certain: nobody to charge, nothing to ask the store for."""
    return any(stance.enforced and stance.verdict is Verdict.USER_REQUIRED for stance in stances)


def _without_store(stance: Stance, error: StoreError) -> Stance:
    policy = stance.bucket.store_down
    if policy is StoreDown.CLOSED and stance.verdict is Verdict.ALLOWED:
        return stance._replace(verdict=Verdict.STORE_DOWN, degraded=True, wait_us=error.wait_us)
    return stance._replace(degraded=True, free=stance.free or policy is StoreDown.ALLOW)


def charges(config: Config, bucket: Bucket, identity: Identity, scope: str | None, cost: int) -> tuple[Charge, ...]:
    """The charges of one bucket, a quota each."""
    names = keys.quotas(config.namespace, bucket, identity, scope)
    pairs = zip(names, bucket.quotas, strict=True)
    return tuple([Charge(name, quota.tolerance_us, quota.interval_us * cost) for name, quota in pairs])


def acquire(config: Config, ask: Ask, stances: list[Stance]) -> Acquire:
    """One command for all stances: the enforced ones together, each other one for itself, and the shield."""
    binding: tuple[Charge, ...] = ()
    observed: tuple[tuple[Charge, ...], ...] = ()
    patient = False
    for stance in stances:
        group = charges(config, stance.bucket, stance.identity, ask.scope, stance.cost(ask))
        if stance.enforced:
            binding += group
        else:
            observed += (group,)
        patient = patient or stance.bucket.store_down is StoreDown.CLOSED
    return Acquire(binding, observed, patient, _shield(config, ask, stances))


def _shield(config: Config, ask: Ask, stances: list[Stance]) -> Shield | None:
    """The shield of the one bucket that has one and is in a position to use it."""
    shielded = [stance for stance in stances if stance.bucket.shielded]
    if len(shielded) > 1:
        raise _one_shield([stance.bucket.name for stance in shielded])
    if not shielded or shielded[0].free or shielded[0].degraded or ask.observe:
        return None
    stance = shielded[0]
    before = () if ask.prior is None else ask.prior.held
    if any(held.bucket.name == stance.bucket.name for held in before):
        return None  # this request holds it already
    wish = ask.wish._replace(owner=_asker(ask) if knows_user(ask) else None)
    at = None if stance.enforced else [one for one in stances if not one.enforced].index(stance)
    found = shield(config.namespace, stance.bucket, stance.identity, ask.route, wish, at)
    for held in before:
        if not held.shield.keys().isdisjoint(found.keys()):  # it would wait for itself
            raise _one_shield([held.bucket.name, stance.bucket.name])
    return found


def _one_shield(names: list[str]) -> ConfigurationError:
    return ConfigurationError("bucket", names, "one request may pass one bucket with a lease or idempotency")


def peek_at(config: Config, ask: Ask, stances: list[Stance]) -> Peek:
    """The same question without a charge."""
    return Peek(acquire(config, ask, stances).all_charges())
