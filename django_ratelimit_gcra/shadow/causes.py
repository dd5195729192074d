"""What refusals look like: a client that goes on regardless, or a limit that is too low."""

from collections.abc import Sequence
from enum import StrEnum

from django_ratelimit_gcra.shadow.reading import Share
from ratelimit_core import Quota
from ratelimit_core.simulate import Arrival, outliers, replay

_FEW = 3
_MOST_REFUSALS = 0.6
_REGARDLESS = 1 / 3  # of its requests refused: whoever waits when told to is refused far less
_OFTEN = 20
LOOPS_AMONG = 20  # one in so many may be a loop; where it is more, the limit is too low


class LooksLike(StrEnum):
    """What refusals most probably come from."""

    LOOP = "loop"
    TOO_LOW = "too_low"


def verdict(refused: int, identities: int, worst: Sequence[Share]) -> tuple[LooksLike | None, str]:
    """What so many refusals look like, and the sentence that says why; it names nobody.

    `worst` are the first of so many `identities` that were refused.
    """
    if not refused and not worst:
        return None, "No refusals."
    if not worst:
        unknown = "by whom is not recorded, or will be when their minute is over."
        return None, f"{counted(refused, 'request')} refused; {unknown}"
    few = _few(worst)
    if few is None:
        return LooksLike.TOO_LOW, (
            f"{counted(identities, 'identity')} refused, the worst with {_percent(worst[0].share)} of all refusals: "
            "this looks like a limit that is too low."
        )
    own = sum(one.refused for one in few) / max(1, sum(one.requests for one in few))
    who = f"{counted(len(few), 'identity')} with {_percent(sum(one.share for one in few))} of all refusals"
    if own < _REGARDLESS:
        return LooksLike.TOO_LOW, (
            f"{who}, but only {_percent(own)} of their requests: this looks like a limit that is a little too low, or "
            "like many people behind one address."
        )
    return LooksLike.LOOP, f"{who}: this looks like a retry loop, not like a limit that is too low."


def loops(arrivals: Sequence[Arrival], quotas: Sequence[Quota]) -> frozenset[str]:
    """The few identities that go on regardless of these quotas: no burst contents them, or a third is refused.

    Where they are more than one in twenty, the limit is too low, and nobody is one.
    """
    replayed = replay(arrivals, quotas)
    found = {one for quota in quotas for one in outliers(arrivals, quota)}
    for identity, refused in replayed.refused_by.items():
        if refused >= max(_OFTEN, _REGARDLESS * replayed.requests_by[identity]):
            found.add(identity)
    return frozenset(found if len(found) * LOOPS_AMONG <= replayed.identities else ())


def counted(number: int, noun: str) -> str:
    """`1 identity`, `1,204 identities`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _few(worst: Sequence[Share]) -> Sequence[Share] | None:
    """The fewest identities that most refusals are of, if they are few."""
    for number in range(1, min(_FEW, len(worst)) + 1):
        if sum(one.share for one in worst[:number]) >= _MOST_REFUSALS:
            return worst[:number]
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
