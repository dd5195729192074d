"""Made-up arrivals: page fan-outs, pauses, regular callers, loops, an office behind one address."""

import random
from fractions import Fraction

from ratelimit_core.simulate import Arrival
from tests.core.brute import Request

START_US = 1_767_225_600_000_000


def traffic(seed: int, identities: int = 40, most_cost: int = 1, span_s: int = 600) -> list[Arrival]:
    """Arrivals in order of time; the first two identities are loops."""
    rng = random.Random(seed)
    arrivals = []
    for number in range(identities):
        identity = f"user:{number}"
        at_us = START_US + rng.randrange(span_s * 1_000_000)
        for _ in range(rng.randrange(1, 8) if number >= 2 else 60):
            for _ in range(rng.choice([1, 1, 1, 3, 8])):
                arrivals.append(Arrival(at_us, identity, rng.randint(min(1, most_cost), most_cost)))
                at_us += rng.choice([0, 0, 1_000, 250_000, 1_000_000])
            at_us += rng.randrange(60_000_000) if number >= 2 else rng.choice([0, 500_000, 1_000_000])
    return sorted(arrivals, key=lambda arrival: arrival.at_us)


def plain(arrivals: list[Arrival]) -> list[Request]:
    """The same in the brute force's words."""
    return [(Fraction(at_us, 1_000_000), identity, cost) for at_us, identity, cost in arrivals]
