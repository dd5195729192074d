"""What a flow asks of a store. A store executes commands; it decides nothing."""

from collections.abc import Generator
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeVar


class Charge(NamedTuple):
    """One quota of one identity: its key, tolerance and the increment T x cost, in microseconds.

    An increment of 0 reads the quota and never writes.
    """

    key: str
    tolerance_us: int
    increment_us: int


class Lease(NamedTuple):
    """A concurrency slot: at most `capacity` tokens hold it at once, each for `ttl_us` unless renewed."""

    key: str
    capacity: int
    ttl_us: int


class Claim(NamedTuple):
    """An idempotency record to be worked on.

    It is in progress for `ttl_us` unless renewed, then its outcome is unknown for `unknown_ttl_us`; a completed one
    is kept for `retention_us`. After an unclear end the generation is remembered for `memory_us` beyond that end,
    so that a foreign processor sees a later try as the same. `replay` is charged when the record is found in use.
    `backed` says that a better proof of the record is kept elsewhere: `takeover` claims such a record for a caller who
    has looked there, whatever the store says of its outcome. One that was claimed without such a proof is not given up.
    """

    key: str
    fingerprint: str
    ttl_us: int
    unknown_ttl_us: int
    retention_us: int
    replay: Charge
    takeover: bool = False
    memory_us: int = 0
    backed: bool = False


class Shield(NamedTuple):
    """The lease and the claim of one bucket, both held under `token`; `observed` ones refuse only their own bucket.

    The record is looked up before any quota; the lease is taken after them. `at` is the place of the bucket's group
    in `Acquire.observed`, or None for an enforced bucket.
    """

    token: str
    lease: Lease | None = None
    claim: Claim | None = None
    at: int | None = None

    def keys(self) -> frozenset[str]:
        """What it holds."""
        return frozenset(one.key for one in (self.lease, self.claim) if one is not None)


class Acquire(NamedTuple):
    """Charge all of `charges` or none; then each group of `observed` on its own, all of a group or none.

    Where one of `charges` does not fit nothing is written at all. `patient` commands may take the longer deadline.
    The reply is `(now_us, room_us, ...)`: the store's time and, in the order given, the room that each charge
    leaves or, when negative, lacks. With a `shield` it is a `Shielded` with the same numbers in it.
    """

    charges: tuple[Charge, ...]
    observed: tuple[tuple[Charge, ...], ...] = ()
    patient: bool = False
    shield: Shield | None = None

    def all_charges(self) -> tuple[Charge, ...]:
        """Every charge in the order of the reply."""
        return self.charges + tuple(charge for group in self.observed for charge in group)


class Finding(IntEnum):
    """What became of a shield."""

    HELD = 0
    LEASED_OUT = 1
    REPLAY = 2
    IN_PROGRESS = 3
    KEY_REUSED = 4
    OUTCOME_UNKNOWN = 5
    REPLAY_LIMITED = 6
    NOT_REACHED = 7


class Shielded(NamedTuple):
    """The reply to a shielded `Acquire`.

    `wait_us` goes with REPLAY_LIMITED. `fence` grows with every holder of the lease; `generation` names the attempt
    for foreign processors and changes only after a definitive answer; `answer` is what a REPLAY stored.
    """

    rooms: tuple[int, ...]
    finding: Finding
    wait_us: int
    fence: int
    generation: int
    answer: bytes


class Outcome(StrEnum):
    """How a claim ends: with an answer, as if it had never been, retried under the same generation, or in doubt."""

    COMPLETED = "c"
    DECLINED = "d"
    RELEASED = "r"
    UNKNOWN = "u"


class Settle(NamedTuple):
    """Give back a shield; compares the token, so that a late one can't free what somebody else holds.

    The reply is `(now_us, lease, claim)`: 1 where it was still held, else 0.
    """

    shield: Shield
    outcome: Outcome
    answer: bytes = b""


class Renew(NamedTuple):
    """Hold a shield for its time to live from now. The reply is that of `Settle`; what was lost stays lost."""

    shield: Shield


class Resolve(NamedTuple):
    """End a claim whose outcome is unknown, whoever held it: by an operator's word.

    The reply is `(now_us, state)`: 1 resolved, 0 there is no such record, 2 it is being worked on, 3 it is completed.
    """

    claim: Claim
    outcome: Outcome
    answer: bytes = b""


class Peek(NamedTuple):
    """What `Acquire` of these charges would reply now; writes nothing."""

    charges: tuple[Charge, ...]


class Reset(NamedTuple):
    """Forget these keys. The reply is `(now_us, number of keys that existed)`."""

    keys: tuple[str, ...]


class Local(NamedTuple):
    """Ask the process's own in-memory store instead: no I/O, for decisions made without the store."""

    command: Acquire | Peek


Command = Acquire | Settle | Renew | Resolve | Peek | Reset
Reply = tuple[int, ...] | Shielded
Result = TypeVar("Result")
Flow = Generator[Command | Local, Reply, Result]


def numbers(reply: Reply) -> tuple[int, ...]:
    """The integers of a reply: the store's time first."""
    return reply.rooms if isinstance(reply, Shielded) else reply
