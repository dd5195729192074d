"""A differential: one in Python, one in fakeredis's Lua, one in a server's. Their replies are the same, bit for bit."""

from random import Random

import pytest

from ratelimit_core.commands import Acquire, Charge, Peek, Reset
from tests.stores.subjects import START_US, Subject, fresh_key

HISTORIES = 600
STEPS = 8
SECOND = 1_000_000

# Emission intervals: from one a day over sixty a minute to 100,000 a second, and what divides badly.
INTERVALS_US = (86_400 * SECOND, 3_600 * SECOND, SECOND, 333_334, 17, 10, 1)
BURSTS = (1, 2, 3, 10, 1_000, 20_000)

LATEST_US = (1 << 53) - (1 << 51)


def some_charges(draw: Random, keys: list[tuple[str, int, int]], cost_limit: int) -> tuple[Charge, ...]:
    found = []
    for key, interval_us, burst in draw.sample(keys, draw.randint(1, len(keys))):
        cost = draw.choice((0, 1, 1, 1, 2, burst, burst + 1)) if cost_limit else 0
        found.append(Charge(key, interval_us * burst, interval_us * cost))
    return tuple(found)


def some_command(draw: Random, keys: list[tuple[str, int, int]]) -> Acquire | Peek | Reset:
    charges = some_charges(draw, keys, 1)
    kind = draw.random()
    if kind < 0.08:
        return Peek(charges)
    if kind < 0.1:
        return Reset(tuple(charge.key for charge in charges))
    if kind < 0.3 and len(charges) > 1:
        return Acquire(charges[:1], (charges[1:2], charges[2:]) if charges[2:] else (charges[1:],))
    return Acquire(charges)


def some_time(draw: Random, interval_us: int, burst: int) -> int:
    steps = (0, 0, 0, 1, interval_us - 1, interval_us, interval_us + 1, interval_us * burst)
    us = draw.choice((*steps, draw.randrange(interval_us * burst + 2)))
    return -us if draw.random() < 0.05 else us


def pass_time(subject: Subject, us: int) -> None:
    """Moves the clock, but not to where whole microseconds are no longer whole in a double."""
    subject.clock.set_us(min(subject.clock.now_us() + us, LATEST_US))


@pytest.mark.parametrize("seed", range(4))
def test_memory_fakeredis_and_a_server_reply_alike(all_subjects: tuple[Subject, ...], seed: int) -> None:
    draw = Random(seed)
    refused = 0
    for _ in range(HISTORIES):
        keys = [(fresh_key(), draw.choice(INTERVALS_US), draw.choice(BURSTS)) for _ in range(draw.randint(1, 3))]
        for subject in all_subjects:
            subject.clock.set_us(START_US)
        for _ in range(STEPS):
            us = some_time(draw, *draw.choice(keys)[1:])
            command = some_command(draw, keys)
            replies = []
            for subject in all_subjects:
                pass_time(subject, us)
                replies.append(subject.execute(command))
            if isinstance(command, Reset):  # how much of it had expired, memory knows before a test's Redis does
                replies = [reply[:1] for reply in replies]
            assert replies[1:] == replies[:1] * 2, (seed, command)
            refused += min(replies[0]) < 0
    assert HISTORIES < refused < HISTORIES * STEPS / 2, "these histories refuse too little or too much to tell"
