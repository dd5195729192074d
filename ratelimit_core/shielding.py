"""From a bucket's fields to the shield of one request: which lease, which record, under which token."""

from typing import NamedTuple

from ratelimit_core import keys
from ratelimit_core.buckets import Bucket, Idempotency
from ratelimit_core.commands import Charge, Claim, Lease, Shield
from ratelimit_core.decision import Verdict
from ratelimit_core.idempotency import read_key, record_name
from ratelimit_core.identity import Identity

_DERIVED_UNKNOWN_US = 15 * 60 * 1_000_000
_SHADOW_LIFE_US = 15 * 60 * 1_000_000


class Wish(NamedTuple):
    """What a request says about shields: a fresh token, the raw key, the request's fingerprint, a shared lease."""

    token: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None
    lease_on: str | None = None


def objection(bucket: Bucket, identity: Identity, wish: Wish) -> Verdict:
    """Why no record can be named for this request; ALLOWED when one can, or none is needed."""
    if bucket.idempotency is None:
        return Verdict.ALLOWED
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
        lease = Lease(key, bucket.concurrency, bucket.lease_ttl_us)
    return Shield(wish.token, lease, _claim(namespace, bucket, identity, wish, shadow), at)


def _claim(namespace: str, bucket: Bucket, identity: Identity, wish: Wish, shadow: bool) -> Claim | None:
    key = None if wish.idempotency_key is None else read_key(wish.idempotency_key)
    derived = bucket.idempotency is Idempotency.DERIVED and wish.fingerprint is not None
    if bucket.idempotency is None or (key is None and not derived):
        return None
    fingerprint = wish.fingerprint or ""
    retention_us = bucket.retention_us if key is not None else bucket.derived_ttl_us or bucket.retention_us
    unknown_us = bucket.unknown_ttl_us or (retention_us if key is not None else _DERIVED_UNKNOWN_US)
    quota = bucket.replay_quota
    return Claim(
        keys.record(namespace, identity, record_name(key, fingerprint), shadow),
        fingerprint,
        bucket.lease_ttl_us,
        min(unknown_us, _SHADOW_LIFE_US) if shadow else unknown_us,
        min(retention_us, _SHADOW_LIFE_US) if shadow else retention_us,
        Charge(keys.replay(namespace, bucket.name, identity), quota.tolerance_us, quota.interval_us),
    )
