"""Which arrivals are kept for replays: all those of a share of the identities of one bucket.

An identity belongs to a share if its keyed hash, as a fraction, is below it: so every process keeps the same
identities, and those of a smaller share are among those of a larger one. The share is everybody until there are more
identities (or arrivals) in an hour than are kept; then it is halved, and with each hour of half as many doubled again.
"""

from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from django_ratelimit_gcra.recording.names import Who
from django_ratelimit_gcra.recording.packing import Visits

WHOLE = 1 << 64

_MOST_IDENTITIES = 2_000
_MOST_ARRIVALS = 200_000
_MOST_BATCHES = 1_000
_MOST_OF_ONE = 20_000  # of one identity, so that a flood of one doesn't shrink the share of all others
_HOUR_US = 3_600_000_000
_MINUTE_US = 60_000_000
_MOST_COST = (1 << 63) - 1


class Batch(NamedTuple):
    """Arrivals of a span within which the share stayed the same: hash, times and costs of each identity."""

    share: float
    lines: list[tuple[bytes, "array[int]", "array[int]"]]

    @property
    def size(self) -> int:
        """The number of arrivals."""
        return sum(len(times) for _, times, _ in self.lines)

    def minutes(self) -> Iterator[tuple[int, Visits]]:
        """The arrivals by minute since the epoch."""
        by_minute: dict[int, dict[bytes, list[tuple[int, int]]]] = {}
        for identity, times, costs in self.lines:
            for at_us, cost in zip(times, costs, strict=True):
                by_minute.setdefault(at_us // _MINUTE_US, {}).setdefault(identity, []).append((at_us, cost))
        yield from by_minute.items()


class _Line:
    """One identity of the share: its hash, the arrivals not yet taken, and how many there were this hour."""

    __slots__ = ("costs", "count", "hash", "order", "times")

    def __init__(self, identity: bytes) -> None:
        self.hash = identity
        self.order = int.from_bytes(identity, "big")
        self.count = 0
        self.begin()

    def begin(self) -> None:
        self.times = array("Q")
        self.costs = array("Q")


class Sampler:
    """The arrivals of one bucket. `hash_of` makes an identity's hash from whatever names it here."""

    def __init__(self, hash_of: Callable[[Who], bytes]) -> None:
        self._hash_of = hash_of
        self._below = WHOLE
        self._hour = 0
        self._count = 0
        self._lines: dict[Who, _Line] = {}
        self._done: list[Batch] = []

    @property
    def share(self) -> float:
        """The share of identities that is kept now."""
        return self._below / WHOLE

    def add(self, who: Who, at_us: int, cost: int) -> int:
        """Keep an arrival if its identity is in the share; returns how many arrivals of it could not be kept."""
        lost = 0 if at_us < self._hour + _HOUR_US else self._turn(at_us)
        line = self._lines.get(who)
        if line is None:
            line = self._join(who)
            if line is None:
                return lost
        if line.count >= _MOST_OF_ONE:
            return lost + 1
        line.count += 1
        self._count += 1
        line.times.append(at_us)
        line.costs.append(min(cost, _MOST_COST))
        if self._count > _MOST_ARRIVALS:
            self._halve()
        return lost

    def take(self) -> list[Batch]:
        """What was kept since the last time."""
        self._close()
        taken, self._done = self._done, []
        return taken

    def _join(self, who: Who) -> _Line | None:
        line = _Line(self._hash_of(who))
        if line.order >= self._below:
            return None
        self._lines[who] = line
        if len(self._lines) > _MOST_IDENTITIES:
            self._halve()
        return line if line.order < self._below else None

    def _halve(self) -> None:
        """Half of the share, and of what was kept only that; repeated until it fits."""
        while len(self._lines) > _MOST_IDENTITIES or self._count > _MOST_ARRIVALS:
            self._below >>= 1
            self._lines = {who: line for who, line in self._lines.items() if line.order < self._below}
            self._count = sum(line.count for line in self._lines.values())

    def _close(self) -> None:
        lines = []
        for line in self._lines.values():
            if line.times:
                lines.append((line.hash, line.times, line.costs))
                line.begin()
        if lines:
            self._done.append(Batch(self.share, lines))

    def _turn(self, at_us: int) -> int:
        """Another hour: count anew, and widen the share if little came; returns what nobody took for too long."""
        self._close()
        lost = 0
        while len(self._done) > _MOST_BATCHES or sum(batch.size for batch in self._done) > _MOST_ARRIVALS:
            lost += self._done.pop(0).size
        if len(self._lines) <= _MOST_IDENTITIES // 2 and self._count <= _MOST_ARRIVALS // 2:
            self._below = min(WHOLE, self._below << 1)
        self._hour = at_us - at_us % _HOUR_US
        self._lines = {}
        self._count = 0
        return lost
