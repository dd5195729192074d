"""What is to be seen of one identity in a store, for operators: its budgets, leases and records, as they stand now."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, cast, runtime_checkable

from ratelimit_core import keys
from ratelimit_core.commands import Outcome
from ratelimit_core.identity import Identity

MOST_KEYS = 1_000
IN_PROGRESS = "p"
_FENCE = b"#fence"
_FIELDS = ("s", "d", "u", "l", "g")
_PAGE = 1_000

Ask = Callable[..., object]


class State(StrEnum):
    """How a record reads now."""

    IN_PROGRESS = "in progress"
    COMPLETED = "completed"
    RELEASED = "released"
    UNKNOWN = "unknown"


class Holder(NamedTuple):
    """Who holds a lease until when."""

    token: str
    deadline_us: int


class Record(NamedTuple):
    """An idempotency record: since when it is tried, until when the state lasts unless something happens."""

    state: State
    since_us: int
    until_us: int


Thing = int | tuple[Holder, ...] | Record


class Sight(NamedTuple):
    """By key: arrival times still to come, leases that are held, records. Not `complete`: there may be more."""

    now_us: int
    tats: Mapping[str, int]
    leases: Mapping[str, tuple[Holder, ...]]
    records: Mapping[str, Record]
    complete: bool


@runtime_checkable
class Looking(Protocol):
    """A store in which one can look somebody up."""

    def look(self, namespace: str, identity: Identity, seconds: float) -> Sight:
        """What there is of an identity, after at most so many seconds; raises StoreError."""
        ...


class Raw(NamedTuple):
    """A record as it is stored."""

    state: str
    deadline_us: int
    lasts_us: int
    ends_us: int
    generation: int

    def read(self, now_us: int) -> Record | None:
        """As an admission would find it; None for one that is forgotten."""
        if now_us >= self.ends_us:
            return None
        if now_us >= self.lasts_us or self.state == Outcome.RELEASED:
            return Record(State.RELEASED, self.generation, self.ends_us)
        if self.state == IN_PROGRESS and now_us < self.deadline_us:
            return Record(State.IN_PROGRESS, self.generation, self.deadline_us)
        state = State.COMPLETED if self.state == Outcome.COMPLETED else State.UNKNOWN
        return Record(state, self.generation, self.lasts_us)


def chosen(every: Iterable[str], namespace: str, identity: Identity, until_s: float) -> tuple[list[str], bool]:
    """The keys of an identity among all, and whether those are all of it."""
    found: list[str] = []
    for index, key in enumerate(every):
        if keys.read(key, namespace, identity) is not None:
            found.append(key)
        if len(found) > MOST_KEYS or (index % _PAGE == 0 and time.monotonic() > until_s):
            return found[:MOST_KEYS], False
    return found, True


def look(ask: Ask, namespace: str, identity: Identity, seconds: float, now_us: int | None) -> Sight:
    """Look in Redis: `ask` sends a command. A value that is none of ours is left out; the time is the server's."""
    until_s = time.monotonic() + seconds
    if now_us is None:
        now_s, rest_us = map(_whole, _list(ask("TIME")))
        now_us = now_s * 1_000_000 + rest_us
    cut: list[bool] = []
    found, complete = chosen(_scan(ask, keys.pattern(namespace, identity), until_s, cut), namespace, identity, until_s)
    read: list[tuple[str, Thing | None]] = []
    for key in dict.fromkeys(found):  # SCAN may name a key twice
        if time.monotonic() > until_s:
            complete = False
            break
        spelled = keys.read(key, namespace, identity)
        read.append((key, _read(ask, key, "" if spelled is None else spelled.kind, now_us)))
    return sorted_out(now_us, read, complete and not cut)


def sorted_out(now_us: int, things: Iterable[tuple[str, Thing | None]], complete: bool) -> Sight:
    """What was found, by kind; nothing of what is over."""
    tats: dict[str, int] = {}
    leases: dict[str, tuple[Holder, ...]] = {}
    records: dict[str, Record] = {}
    for key, thing in things:
        if isinstance(thing, Record):
            records[key] = thing
        elif isinstance(thing, int):
            tats |= {key: thing} if thing > now_us else {}
        elif thing:
            leases[key] = thing
    return Sight(now_us, tats, leases, records, complete)


def _read(ask: Ask, key: str, kind: str, now_us: int) -> Thing | None:
    if kind == "lock":
        return _holders(_list(ask("ZRANGE", key, 0, -1, "WITHSCORES")), now_us)
    if kind == "idem":
        return _record(_list(ask("HMGET", key, *_FIELDS)), now_us)
    return _whole(ask("GET", key))


def _scan(ask: Ask, pattern: str, until_s: float, cut: list[bool]) -> Iterator[str]:
    """Every key that matches; notes in `cut` that the time was over before all were seen."""
    cursor = b"0"
    while True:
        cursor, page = cast("tuple[bytes, list[bytes]]", ask("SCAN", cursor.decode(), "MATCH", pattern, "COUNT", _PAGE))
        for key in page:
            yield key.decode("utf-8", "replace")
        if cursor == b"0":
            return
        if time.monotonic() > until_s:
            cut.append(True)
            return


def _holders(reply: Sequence[object], now_us: int) -> tuple[Holder, ...]:
    pairs = zip(reply[::2], map(_whole, reply[1::2]), strict=True)
    return tuple(Holder(_text(token), deadline) for token, deadline in pairs if token != _FENCE and deadline > now_us)


def _record(reply: Sequence[object], now_us: int) -> Record | None:
    return Raw(_text(reply[0]), *map(_whole, reply[1:])).read(now_us) if reply else None


def _list(reply: object) -> Sequence[object]:
    return cast("Sequence[object]", reply) if isinstance(reply, list) else ()


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _whole(value: object) -> int:
    """A number as Redis writes it; 0 for anything else."""
    try:
        return int(float(value)) if isinstance(value, bytes) else 0
    except (ValueError, OverflowError):
        return 0
