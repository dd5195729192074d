"""How a bucket stands: its mode in words, where that comes from, its quotas, what shields it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from django.utils import timezone

from django_ratelimit_gcra.layers import Layer
from ratelimit_core import Bucket
from ratelimit_core.buckets import Mode, StoreDown
from ratelimit_core.config import Policy, Source

_GIVEN_BY = {
    Source.BUCKET: ("RATE_LIMIT_BUCKETS",),
    Source.SHADOW: ("RATE_LIMIT_SHADOW",),
    Source.SHADOW_BUCKET: ("RATE_LIMIT_SHADOW_{}", "RATE_LIMIT_SHADOW_AUTH"),
    Source.KILL_SWITCH: ("RATE_LIMIT_ENABLED",),
}


class Standing(NamedTuple):
    """One bucket's policy, in words."""

    name: str
    mode: Mode
    mode_words: str
    source: str
    quotas: str
    notes: str


def standing(policy: Policy, sources: Mapping[str, str], layers: Sequence[Layer]) -> Standing:
    """The policy in words; `sources` say where each setting was given, `layers` what was switched, newest first."""
    bucket = policy.bucket
    quotas = ", ".join(map(str, bucket.quotas))
    return Standing(
        bucket.name,
        policy.mode,
        mode_words(policy),
        _source(policy, sources, layers),
        quotas,
        ", ".join(_notes(bucket)),
    )


def mode_words(policy: Policy) -> str:
    """`shadow`, or `canary 10 %`."""
    return f"canary {policy.bucket.canary_percent:g} %" if policy.mode is Mode.CANARY else str(policy.mode)


def _source(policy: Policy, sources: Mapping[str, str], layers: Sequence[Layer]) -> str:
    names = (name.format(policy.bucket.name.upper()) for name in _GIVEN_BY.get(policy.source, ()))
    given = next((name for name in names if name in sources), None)
    if given is not None:
        return f"from {given} ({sources[given]})"
    wanted = "" if policy.source is Source.KILL_SWITCH else policy.bucket.name
    layer = next((one for one in layers if one.bucket == wanted and one.override.mode is not None), None)
    if layer is None or policy.source not in {Source.OVERRIDE, Source.KILL_SWITCH}:
        return "by default"
    what = "by the kill switch: " if policy.source is Source.KILL_SWITCH else "switched by "
    until = "" if layer.expires is None else f", until {timezone.localtime(layer.expires):%d %b %H:%M}"
    return f"{what}{layer.by}, {timezone.localtime(layer.created):%d %b %H:%M}{until}"


def _notes(bucket: Bucket) -> Iterator[str]:
    if bucket.require_user:
        yield "user required"
    if bucket.concurrency is not None:
        yield f"{bucket.concurrency} at once"
    if bucket.idempotency is not None:
        yield f"idempotency {bucket.idempotency}"
    if bucket.store_down is not StoreDown.OPEN:
        yield f"store down: {bucket.store_down}"
