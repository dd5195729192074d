"""A rate limit in the plainest words: a bucket that leaks, in fractions of a unit. It shares no code with the limiter.

`quotas` are (units, seconds, burst); a request is (seconds, who, units).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

Request = tuple[Fraction, str, int]
Limit = tuple[int, int, int]


def gap(units: int, seconds: int) -> Fraction:
    """Seconds from one unit to the next: whole microseconds, rounded up."""
    whole, rest = divmod(seconds * 1_000_000, units)
    return Fraction(whole + (rest > 0), 1_000_000)


def refused_by(requests: Iterable[Request], quotas: Sequence[Limit]) -> Counter[str]:
    """How many requests of whom are refused: those that would overflow any of the buckets; they fill none."""
    refused: Counter[str] = Counter()
    buckets: dict[str, list[tuple[Fraction, Fraction]]] = {}
    for now, who, cost in requests:
        levels = []
        for (level, at), (units, seconds, _) in zip(buckets.get(who, [(Fraction(0), now)] * 9), quotas, strict=False):
            levels.append(max(Fraction(0), level - (now - at) / gap(units, seconds)) + cost)
        if cost and any(level > burst for level, (_, _, burst) in zip(levels, quotas, strict=True)):
            refused[who] += 1
        elif cost:
            buckets[who] = [(level, now) for level in levels]
    return refused


def smallest_burst(requests: Sequence[Request], units: int, seconds: int) -> int:
    """By trying one burst after the other."""
    burst = 1
    while refused_by(requests, [(units, seconds, burst)]):
        burst += 1
    return burst
