"""The generic cell rate algorithm, in integer microseconds.

A quota is two numbers: the emission interval `T = ceil(period / rate)` and the tolerance `tau = T * burst`. A key is
one: its theoretical arrival time (TAT), the moment at which all that was charged will have been earned back. For a
request of cost `c` at the store's time `now`:

    t0   = min(max(tat or now, now), now + tau)     clamped both ways
    new  = t0 + T * c
    room = tau - (new - now)
    room < 0: refuse, write nothing; otherwise admit and store `new`

The upper clamp bounds an old debt by the tolerance in force, so that neither a new configuration nor a clock that
jumped back can lock anybody out. `room` alone tells the rest: every number a client sees follows from it, the quota
and the cost. That is why a store replies with nothing else.

Sources: ITU-T I.371 (virtual scheduling), ATM Forum TM 4.0 section 4.4.2.
"""

from typing import NamedTuple


class Meter(NamedTuple):
    """What one quota shows after a decision; times in microseconds from now."""

    remaining: int
    reset_after_us: int
    room_us: int


def measure(tat: int | None, now_us: int, tolerance_us: int, increment_us: int) -> int:
    """The room left if `increment_us` were charged now; negative when it does not fit, by how long it is too early."""
    debt_us = 0 if tat is None or tat <= now_us else min(tat - now_us, tolerance_us)
    return tolerance_us - debt_us - increment_us


def arrival(room_us: int, now_us: int, tolerance_us: int) -> int:
    """The TAT to store for an admission that leaves `room_us`."""
    return now_us + tolerance_us - room_us


def meter(room_us: int, interval_us: int, tolerance_us: int, uncharged_us: int = 0) -> Meter:
    """Read a quota from its room; `uncharged_us` is the increment that was asked for but not charged."""
    left_us = room_us + uncharged_us
    return Meter(left_us // interval_us, tolerance_us - left_us, left_us)
