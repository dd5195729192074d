"""Whether a change takes protection from a bucket that has some to lose: one with a shield, or one that fails closed.

For the rest a switch is a switch. What is weakened needs a permission of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from django_ratelimit_gcra.layers import Layer, laid_over
from ratelimit_core import Bucket, Config, Mode, Quota
from ratelimit_core.buckets import StoreDown
from ratelimit_core.config import Override, Policy


def weakens(policy: Policy, change: Override) -> bool:
    """Whether a policy would protect less after a change; raises ConfigurationError for one that can't be used."""
    bucket = change.over(policy.bucket)
    return _loses(policy, policy._replace(bucket=bucket, mode=policy.mode if change.mode is None else bucket.mode))


def weakened(base: Config, before: Sequence[Layer], after: Sequence[Layer]) -> tuple[str, ...]:
    """The buckets that will ever protect less with the second layers than with the first.

    Ever: what a change does may be hidden for now, by one above it that ends in an hour, or by the kill switch.
    """
    moments = {layer.expires for layer in (*before, *after) if layer.expires is not None}
    found: dict[str, None] = {}
    for moment in (datetime.min.replace(tzinfo=UTC), *moments):
        for killing in (True, False):
            one, other = (_at(base, layers, moment, killing) for layers in (before, after))
            found |= dict.fromkeys(name for name in one.policies if _loses(one.policies[name], other.policies[name]))
    return tuple(found)


def _at(base: Config, layers: Sequence[Layer], moment: datetime, killing: bool) -> Config:
    standing = [layer for layer in layers if layer.stands(moment) and (killing or layer.bucket)]
    return laid_over(replace(base, enabled=True), standing)


def _loses(before: Policy, after: Policy) -> bool:
    if not protects(before.bucket):
        return False
    return _strength(after) < _strength(before) or _is_looser(before.bucket.quotas, after.bucket.quotas)


def protects(bucket: Bucket) -> bool:
    """Whether a bucket is shielded or fails closed."""
    return bucket.shielded or bucket.store_down is StoreDown.CLOSED


def _strength(policy: Policy) -> float:
    """The share of identities, in percent, for which the policy enforces; less than nothing where it doesn't look."""
    if policy.mode is Mode.CANARY:
        return policy.bucket.canary_percent
    return {Mode.OFF: -1, Mode.SHADOW: 0, Mode.ENFORCE: 100}[policy.mode]


def _is_looser(before: Iterable[Quota], after: Iterable[Quota]) -> bool:
    """Whether there may be arrivals that these quotas admit and those before did not."""
    return not all(any(_holds(new, old) for new in after) for old in before)


def _holds(new: Quota, old: Quota) -> bool:
    """Whether nothing passes the new quota that would not have passed the old one."""
    return new.interval_us >= old.interval_us and new.burst <= old.burst
