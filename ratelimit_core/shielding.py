"""From a bucket's fields to the shield of one request: which lease, which record, under which token."""

from typing import NamedTuple

from ratelimit_core import keys
from ratelimit_core.buckets import Bucket, Idempotency, Record
from ratelimit_core.commands import Charge, Claim, Lease, Shield
from ratelimit_core.decision import Verdict
from ratelimit_core.errors import ConfigurationError
from ratelimit_core.idempotency import read_key, record_name
from ratelimit_core.identity import Identity

_DERIVED_UNKNOWN_US = 15 * 60 * 1_000_000
# What only observes is kept for 15 minutes at most, a third of it while it is worked on.
_SHADOW_LIFE_US = 15 * 60 * 1_000_000
_SHADOW_WORK_US = _SHADOW_LIFE_US // 3


class Wish(NamedTuple):
    """What a request says about shields: a fresh token, the raw key, the request's fingerprint, a shared lease.

    `takeover` claims a record in doubt: only for a caller with better proof than the store's. `owner` is whose request
    it is, where another identity is charged for it.
    """

    token: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None
    lease_on: str | None = None
    takeover: bool = False
    too_large: bool = False
    owner: Identity | None = None


def objection(bucket: Bucket, identity: Identity, wish: Wish) -> Verdict:
    """Why no record can be named for this request; ALLOWED when one can, or none is needed."""
    if bucket.idempotency is None:
        return Verdict.ALLOWED
    if wish.too_large:
        return Verdict.BODY_TOO_LARGE
    if wish.idempotency_key is None:
        if bucket.idempotency is Idempotency.REQUIRED:
            return Verdict.KEY_REQUIRED
        if bucket.idempotency is Idempotency.OPTIONAL or wish.fingerprint is None:
            return Verdict.ALLOWED
    elif read_key(wish.idempotency_key) is None:
        return Verdict.KEY_MALFORMED
    return Verdict.USER_REQUIRED if identity.kind == "ip" else Verdict.ALLOWED


def shield(namespace: str, bucket: Bucket, identity: Identity, route: str | None, wish: Wish, at: int | None) -> Shield:
    """The shield of a bucket to which there is no objection; `at` is its place among the observed groups."""
    shadow = at is not None
    lease = None
    if bucket.concurrency is not None:
        key = keys.lease(namespace, identity, route or bucket.name, wish.lease_on, shadow)
        lease = Lease(key, bucket.concurrency, _work_us(bucket, shadow))
    return Shield(wish.token, lease, _claim(namespace, bucket, identity, wish, shadow), at)


def record_claim(namespace: str, bucket: Bucket, identity: Identity, wish: Wish) -> Claim:
    """The claim on a record that is known to exist; raises ConfigurationError where none can be named."""
    claim = _claim(namespace, bucket, identity, wish, shadow=False)
    if claim is None:
        raise ConfigurationError("bucket", bucket.name, "a bucket with idempotency, and a key or a fingerprint")
    return claim


def _claim(namespace: str, bucket: Bucket, identity: Identity, wish: Wish, shadow: bool) -> Claim | None:
    key = None if wish.idempotency_key is None else read_key(wish.idempotency_key)
    derived = bucket.idempotency is Idempotency.DERIVED and wish.fingerprint is not None
    if bucket.idempotency is None or (key is None and not derived):
        return None
    retention_us = bucket.retention_us if key is not None else bucket.derived_ttl_us or bucket.retention_us
    unknown_us = bucket.unknown_ttl_us or (retention_us if key is not None else _DERIVED_UNKNOWN_US)
    quota = bucket.replay_quota
    owner = None if wish.owner in (None, identity) else str(wish.owner)
    claim = Claim(
        keys.record(namespace, identity, record_name(key, wish.fingerprint or "", owner), shadow),
        wish.fingerprint or "",
        _work_us(bucket, shadow),
        unknown_us,
        retention_us,
        Charge(keys.replay(namespace, bucket.name, identity), quota.tolerance_us, quota.interval_us),
        wish.takeover,
        bucket.retention_us,
        bucket.record is Record.DATABASE,
    )
    return _briefly(claim) if shadow else claim


def _work_us(bucket: Bucket, shadow: bool) -> int:
    """How long a lease and a claim are held until they are renewed."""
    return min(bucket.lease_ttl_us, _SHADOW_WORK_US) if shadow else bucket.lease_ttl_us


def _briefly(claim: Claim) -> Claim:
    """A claim that is forgotten, whatever becomes of it, within the life of what only observes."""
    return claim._replace(
        unknown_ttl_us=min(claim.unknown_ttl_us, _SHADOW_LIFE_US - claim.ttl_us),
        retention_us=min(claim.retention_us, _SHADOW_LIFE_US),
        memory_us=0,
    )
