"""What a switch would do, told from the recorded arrivals: before it is made, and to whoever makes it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from django_ratelimit_gcra import shadow
from django_ratelimit_gcra.dashboard.scales import percent
from django_ratelimit_gcra.dashboard.standing import mode_words
from django_ratelimit_gcra.dashboard.whatif import label
from django_ratelimit_gcra.shadow import WhatIf
from django_ratelimit_gcra.shadow.causes import counted
from ratelimit_core.buckets import Mode
from ratelimit_core.config import Policy


class Effect(NamedTuple):
    """Sentences, the most important first, where their numbers come from, and the replay, if there could be one."""

    sentences: tuple[str, ...]
    label: str
    found: WhatIf | None


def predicted(before: Policy, after: Policy, since: datetime, until: datetime) -> Effect:
    """What a change from one policy of a bucket to another would have done within this time."""
    name = after.bucket.name
    found = shadow.what_if(name, after.bucket.quotas, since, until)
    same = before.bucket.quotas == after.bucket.quotas
    earlier = found if same else shadow.what_if(name, before.bucket.quotas, since, until)
    return Effect(tuple(sentences(before, after, earlier, found)), label(found), found)


def sentences(before: Policy, after: Policy, earlier: WhatIf, found: WhatIf) -> Iterator[str]:
    """The effect in words; `earlier` is what the present quotas do to the arrivals, `found` what the new ones would."""
    yield _change(before, after)
    if not found.requests:
        yield "Nothing was recorded that this could be tried on: its effect is not known."
        return
    yield _new(after, found)
    if refuses(before) and before.mode != after.mode and not refuses(after):
        yield f"Until now {_all_of(before, earlier)}."
    elif before.bucket.quotas != after.bucket.quotas:
        yield f"With the present quotas it is {_counts(earlier)}."
    if refuses(after) and not refuses(before) and found.touched:
        yield f"That is {percent(found.touched / found.identities)} of the identities."


def killed(refusing: Sequence[str], protected: Sequence[str], blocked: int | None) -> Iterator[str]:
    """What the kill switch would do; `blocked` requests were refused in the last 24 hours, None if nobody knows."""
    if not refusing:
        yield "No bucket refuses anybody at present."
        return
    lately = (
        "how many were lately can't be read"
        if blocked is None
        else f"{counted(blocked, 'request')} in the last 24 hours"
    )
    yield f"Nobody is refused any more by {named(refusing)}: {lately}."
    if protected:
        yield f"Without protection: {named(protected)}. Two payments could be made at once, or the same one twice."


def named(names: Sequence[str]) -> str:
    """`read, write and financial`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def refuses(policy: Policy) -> bool:
    """Whether the mode refuses anybody."""
    return policy.mode is Mode.ENFORCE or (policy.mode is Mode.CANARY and policy.bucket.canary_percent > 0)


def _change(before: Policy, after: Policy) -> str:
    modes = mode_words(before), mode_words(after)
    quotas = tuple(", ".join(map(str, policy.bucket.quotas)) for policy in (before, after))
    parts = [f"from {old} to {new}" for old, new in (modes, quotas) if old != new]
    return f"{after.bucket.name} goes {' and '.join(parts)}." if parts else f"{after.bucket.name} stays as it is."


def _new(after: Policy, found: WhatIf) -> str:
    if after.mode is Mode.OFF:
        return "Nothing is limited, and nothing is recorded as refused any more."
    if after.mode is Mode.SHADOW:
        return f"Nobody is refused; {_counts(found)} would be recorded as such."
    return f"{_all_of(after, found)[0].upper()}{_all_of(after, found)[1:]}."


def _all_of(policy: Policy, found: WhatIf) -> str:
    if not found.refused:
        return "nobody's requests would have been refused"
    if policy.mode is Mode.CANARY:
        share = f"{policy.bucket.canary_percent:g} %"
        return f"{_counts(found)} exceed the limit; the requests of {share} of these identities would have been refused"
    return f"{_counts(found)} would have been refused"


def _counts(found: WhatIf) -> str:
    """`120 of 4,000 requests by 3 of 1,204 identities`."""
    about = "about " if found.estimated else ""
    requests = f"{about}{found.refused:,} of {found.requests:,} requests"
    return f"{requests} by {found.touched:,} of {found.identities:,} identities"
