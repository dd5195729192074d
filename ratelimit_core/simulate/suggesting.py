"""Which quota would have left almost everybody alone.

An identity needs no larger burst at a higher rate: it is the largest, over all stretches of its requests, of the units
asked for minus the units earned meanwhile. So rates can be searched by halves, and those who are content with the
largest burst at the present rate need not be looked at again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from ratelimit_core.errors import ConfigurationError
from ratelimit_core.quota import Quota
from ratelimit_core.simulate.replaying import Arrival, Visits, by_identity, needed_burst, needed_by, refusals

_PERIODS = 10  # a burst beyond what ten periods earn says that the rate is not meant
_TIMES_THE_RATE = 100
_FEW = 20  # one in so many


class Suggestion(NamedTuple):
    """A quota, and whom it would have touched.

    `worst` is the identity that the suggestion refuses most; if it refuses nobody, whom the present quota refuses most,
    and else who asks most. Of its `worst_before` requests the suggestion admits `worst_after`. `touched` counts those
    left aside, too.
    """

    quota: Quota
    touched: int
    identities: int
    worst_before: int
    worst_after: int
    worst: str


def suggest(
    arrivals: Sequence[Arrival], rate: Quota, most_touched: float = 0.001, aside: Collection[str] = ()
) -> Suggestion | None:
    """The smallest burst at the present rate that touches a smaller share of identities than `most_touched`.

    If no burst up to `largest_burst` does, the smallest higher rate that makes one do, up to a hundred times the
    present; None if that does not either, or nobody came. `aside` are identities that may be refused, such as
    `outliers`: they don't count in that share.
    """
    visits_by = by_identity(arrivals)
    counted = {identity: visits for identity, visits in visits_by.items() if identity not in aside}
    if not counted:
        return None
    needed = needed_by(visits_by, rate)
    spare = _spare(len(counted), most_touched)
    beyond = {identity: visits for identity, visits in counted.items() if needed[identity] > largest_burst(rate)}
    higher = rate if len(beyond) <= spare else _higher(beyond, rate, spare)
    if higher is None:
        return None
    needed_then = needed if higher is rate else needed_by(visits_by, higher)
    quota = replace(higher, burst=sorted((needed_then[one] for one in counted), reverse=True)[spare])
    refused_then = _refused(visits_by, needed_then, quota)
    refused = _refused(visits_by, needed, rate)

    def order(one: str) -> tuple[int, int, int, str]:
        return -refused_then.get(one, 0), -refused.get(one, 0), -len(visits_by[one]), one

    worst = min(visits_by, key=order)
    before = len(visits_by[worst])
    return Suggestion(quota, len(refused_then), len(visits_by), before, before - refused_then.get(worst, 0), worst)


def largest_burst(rate: Quota) -> int:
    """The largest burst that makes sense at a rate: ten periods' units, or ten times the present burst."""
    return min(_PERIODS * max(rate.rate, rate.burst), ((1 << 51) - 1) // rate.interval_us)


def outliers(arrivals: Iterable[Arrival], rate: Quota) -> list[str]:
    """The few identities that no sensible burst contents, those who need most first: more likely loops than people.

    Where they are more than one in twenty, the rate is too low, and nobody is an outlier.
    """
    needed = needed_by(by_identity(arrivals), rate)
    beyond = [identity for identity, need in needed.items() if need > largest_burst(rate)]
    few = len(beyond) * _FEW <= len(needed)
    return sorted(beyond, key=lambda identity: (-needed[identity], identity)) if few else []


def _spare(identities: int, most_touched: float) -> int:
    """How many are fewer than this share of all, but not all of them; 0 at least."""
    share = Fraction(str(most_touched)) * identities
    return max(0, min(-(-share.numerator // share.denominator), identities) - 1)


def _higher(beyond: Mapping[str, Visits], rate: Quota, spare: int) -> Quota | None:
    """The smallest rate at which at most `spare` of these need more than the largest burst."""
    largest = largest_burst(rate)

    def does(units: int) -> bool:
        interval_us = -(-rate.period_us // units)
        return sum(needed_burst(visits, interval_us) > largest for visits in beyond.values()) <= spare

    too_low, enough = rate.rate, min(rate.rate * _TIMES_THE_RATE, rate.period_us)
    if not does(enough):
        return None
    while enough - too_low > 1:
        middle = (too_low + enough) // 2
        too_low, enough = (too_low, middle) if does(middle) else (middle, enough)
    try:
        return replace(rate, rate=enough, burst=1)
    except ConfigurationError:  # in a period of a few microseconds few rates can be had
        return None


def _refused(visits_by: Mapping[str, Visits], needed: Mapping[str, int], quota: Quota) -> dict[str, int]:
    """How many requests a quota refuses to those whom it touches."""
    return {one: refusals(visits_by[one], (quota,)) for one, need in needed.items() if need > quota.burst}
