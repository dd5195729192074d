"""What the store holds of one identity at this moment: budgets, leases and claims, to be looked at and to be reset.

Budgets are asked for by their keys. Narrowed ones (`scope=`), leases and claims are searched for: on a large Redis that
takes time, which is bounded, and `complete` says whether all of it was seen. A lease on a shared resource
(`lease_on=`) belongs to nobody and is not found.
"""

from collections.abc import Iterator
from typing import NamedTuple

from django.apps import apps
from django.core.exceptions import PermissionDenied

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.resolution import log
from django_ratelimit_gcra.switching import LONGEST_REASON, User, words
from django_ratelimit_gcra.urlconf import routes
from ratelimit_core import Config, Identity, Limiter, Quota, StoreError, keys
from ratelimit_core.commands import Charge, Claim, Outcome, Peek, Reset, Resolve, numbers
from ratelimit_core.stores.sight import Holder, Looking, Sight, State

RESET, RESOLVE = "django_ratelimit_gcra.reset_live", "django_ratelimit_gcra.change_idempotencyrecord"
_SECONDS = 2.0
_DAY_US = 86_400_000_000
_WORKED_ON, _COMPLETED = 2, 3


class Budget(NamedTuple):
    """One quota; `tat_us`, its theoretical arrival time, is None while it is full. `replays` is that of replays."""

    key: str
    bucket: str
    scope: str | None
    label: str
    burst: int
    remaining: int
    tat_us: int | None


class Lease(NamedTuple):
    """Who holds a route, and until when unless renewed; `shadow` ones refuse nobody."""

    key: str
    route: str
    shadow: bool
    holders: tuple[Holder, ...]


class ClaimState(NamedTuple):
    """An idempotency record: tried since `since_us`, in this state until `until_us` if nothing happens."""

    key: str
    name: str
    shadow: bool
    state: State
    since_us: int
    until_us: int


class Live(NamedTuple):
    """Everything of an identity; times in epoch microseconds of the store's clock."""

    identity: Identity
    now_us: int
    budgets: tuple[Budget, ...]
    leases: tuple[Lease, ...]
    claims: tuple[ClaimState, ...]
    complete: bool


class _Place(NamedTuple):
    key: str
    bucket: str
    scope: str | None
    label: str
    quota: Quota

    def budget(self, tat_us: int, now_us: int) -> Budget:
        debt_us = min(max(tat_us - now_us, 0), self.quota.tolerance_us)
        remaining = (self.quota.tolerance_us - debt_us) // self.quota.interval_us
        tat = now_us + debt_us if debt_us else None
        return Budget(self.key, self.bucket, self.scope, self.label, self.quota.burst, remaining, tat)


def live(identity: Identity, seconds: float = _SECONDS) -> Live:
    """Look somebody up, for at most about so many seconds; raises StoreError."""
    limiter = runtime.limiter()
    store, config = limiter.store, limiter.config
    if not isinstance(store, Looking):
        raise StoreError("refused", f"a store of this kind ({type(store).__name__}) can't be looked into")
    sight = store.look(config.namespace, identity, seconds)
    places = list(_places(config, identity))
    asked = tuple(Charge(place.key, place.quota.tolerance_us, 0) for place in places)
    now_us, *rooms = numbers(store.execute(Peek(asked)))
    whole = [
        place.budget(now_us + place.quota.tolerance_us - room, now_us)
        for place, room in zip(places, rooms, strict=True)
    ]
    narrowed = _narrowed(config, identity, sight)
    leases, claims = _leases(config, identity, sight), _claims(config, identity, sight)
    return Live(identity, now_us, (*whole, *narrowed), tuple(leases), tuple(claims), sight.complete)


def reset(identity: Identity, key: str, reason: str, by: str, user: User | None = None) -> str:
    """Forget one budget, free one lease or end one claim, by the key that `live` gave; says what was done.

    A claim in doubt is released: the same request may run again, as the same attempt to a foreign processor. One that
    is worked on stays. Raises ConfigurationError for a missing reason, PermissionDenied, StoreError, and ValueError for
    a key that is not this identity's.
    """
    limiter = runtime.limiter()
    why, spelled = words("reason", reason, LONGEST_REASON), keys.read(key, limiter.config.namespace, identity)
    if spelled is None:
        raise ValueError(f"{key!r} is no key of {identity}")
    _permit(user, RESET, *([RESOLVE] if spelled.kind == "idem" else []))
    if spelled.kind == "idem":
        said = _end(limiter, key)
    else:
        _, count = numbers(limiter.store.execute(Reset((key,))))
        said = "forgotten" if count else "there was nothing"
    _noted(identity, f"{key}: {said}: {why}", by, user)
    return said


def reset_bucket(identity: Identity, bucket: str, reason: str, by: str, user: User | None = None) -> int:
    """Forget what was spent in a bucket, every quota of it; how many had something. Raises as `reset` does."""
    why = words("reason", reason, LONGEST_REASON)
    _permit(user, RESET)
    count = runtime.limiter().reset(identity, bucket)
    _noted(identity, f"{bucket}: {count} forgotten: {why}", by, user)
    return count


def _places(config: Config, identity: Identity) -> Iterator[_Place]:
    for bucket in (policy.bucket for policy in config.policies.values()):
        names = keys.quotas(config.namespace, bucket, identity, None)
        for key, quota in zip(names, bucket.quotas, strict=True):
            yield _Place(key, bucket.name, None, quota.label, quota)
        if bucket.idempotency is not None:
            key = keys.replay(config.namespace, bucket.name, identity)
            yield _Place(key, bucket.name, None, "replays", bucket.replay_quota)


def _narrowed(config: Config, identity: Identity, sight: Sight) -> Iterator[Budget]:
    """The budgets of scopes, which only a search finds; of buckets and quotas that there still are."""
    for key, tat_us in sight.tats.items():
        spelled = keys.read(key, config.namespace, identity)
        policy = None if spelled is None or spelled.kind != "rl" else config.policies.get(spelled.name)
        if spelled is None or policy is None or spelled.scope is None:
            continue
        first, *further = policy.bucket.quotas
        named = {None: first} | {quota.label: quota for quota in further}
        if (quota := named.get(spelled.label)) is not None:
            yield _Place(key, spelled.name, spelled.scope, quota.label, quota).budget(tat_us, sight.now_us)


def _leases(config: Config, identity: Identity, sight: Sight) -> Iterator[Lease]:
    known = {keys.component(place): place for place in (route.place.removeprefix("/") for route in routes())}
    for key, holders in sight.leases.items():
        spelled = keys.read(key, config.namespace, identity)
        assert spelled is not None  # the store finds keys of this identity only
        yield Lease(key, known.get(spelled.name, spelled.name), spelled.shadow, holders)


def _claims(config: Config, identity: Identity, sight: Sight) -> Iterator[ClaimState]:
    for key, record in sight.records.items():
        spelled = keys.read(key, config.namespace, identity)
        assert spelled is not None  # the same
        yield ClaimState(key, spelled.name, spelled.shadow, *record)


def _end(limiter: Limiter, key: str) -> str:
    """Release a claim in doubt, at once or not at all; forget a completed one."""
    buckets = [policy.bucket for policy in limiter.config.policies.values() if policy.bucket.idempotency is not None]
    kept_us = max((bucket.retention_us for bucket in buckets), default=_DAY_US)
    claim = Claim(key, "", 0, 0, kept_us, Charge("", 0, 0), memory_us=kept_us)
    _, state = numbers(limiter.store.execute(Resolve(claim, Outcome.RELEASED)))
    if state == _WORKED_ON:
        return "it is being worked on, and stays: wait until its lease has ended"
    if state == _COMPLETED:
        limiter.store.execute(Reset((key,)))
        return "its answer is forgotten: the same request runs again"
    return "released: the same request may run again" if state else "there was nothing"


def _permit(user: User | None, *permissions: str) -> None:
    for permission in permissions if user is not None else ():
        if user is not None and not user.has_perm(permission):
            raise PermissionDenied(f"{permission} is needed")


def _noted(identity: Identity, what: str, by: str, user: User | None) -> None:
    log(f"{identity}: {what}", by)
    if user is not None and apps.is_installed("django.contrib.admin"):
        from django.contrib.admin.models import CHANGE, LogEntry
        from django.contrib.contenttypes.models import ContentType

        from django_ratelimit_gcra.models import PolicyOverride

        kind = ContentType.objects.get_for_model(PolicyOverride).pk
        shown = str(identity)[:200]
        LogEntry.objects.create(
            user_id=user.pk, content_type_id=kind, object_repr=shown, action_flag=CHANGE, change_message=what
        )
