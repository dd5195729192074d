"""Leases and idempotency records in memory: what shield.lua, settle.lua and renew.lua do, under the store's lock."""

import heapq
from dataclasses import dataclass, field

from ratelimit_core.commands import Claim, Finding, Lease, Outcome, Resolve, Settle, Shield
from ratelimit_core.errors import StoreError
from ratelimit_core.stores.sight import IN_PROGRESS as _IN_PROGRESS
from ratelimit_core.stores.sight import Holder, Raw, Record

_LOOKS = 4


@dataclass(slots=True)
class _Holders:
    """Who holds a lease until when, and the last fencing number."""

    deadlines: dict[str, int] = field(default_factory=dict)
    fence: int = 0

    @property
    def ends_us(self) -> int:
        return max(self.deadlines.values(), default=0)


@dataclass(slots=True)
class _Record:
    """One idempotency record; `state` is `p` while it is worked on, else an `Outcome`.

    The state lasts until `lasts_us`; until `ends_us` the generation is remembered.
    """

    state: str
    token: str
    fingerprint: str
    deadline_us: int
    lasts_us: int
    ends_us: int
    generation: int
    backed: bool
    answer: bytes = b""


class Shields:
    """Leases and records by key, at most `limit` of both; nothing live is ever dropped to make room."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, _Holders | _Record] = {}
        self._filed: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._held)

    def find(self, claim: Claim, now_us: int) -> tuple[Finding, int, bytes]:
        """What the record says before anything is charged: a finding, the generation and a stored answer."""
        record = self._held.get(claim.key)
        if not isinstance(record, _Record):
            return Finding.HELD, 0, b""
        state = record.state
        if now_us >= record.ends_us:
            return Finding.HELD, 0, b""
        if now_us >= record.lasts_us:
            state = Outcome.RELEASED.value
        elif state == _IN_PROGRESS and now_us >= record.deadline_us:
            state = Outcome.UNKNOWN.value
        if state == Outcome.RELEASED or (claim.takeover and record.backed and state != _IN_PROGRESS):
            return Finding.HELD, record.generation, b""
        if record.fingerprint != claim.fingerprint:
            return Finding.KEY_REUSED, record.generation, b""
        if state == Outcome.COMPLETED:
            return Finding.REPLAY, record.generation, record.answer
        return (Finding.IN_PROGRESS if state == _IN_PROGRESS else Finding.OUTCOME_UNKNOWN), record.generation, b""

    def fence(self, lease: Lease, now_us: int) -> int | None:
        """The fencing number of a new holder; None when no slot is free."""
        holders = self._held.get(lease.key)
        if not isinstance(holders, _Holders):
            return now_us
        for token in [token for token, deadline_us in holders.deadlines.items() if deadline_us <= now_us]:
            del holders.deadlines[token]
        return None if len(holders.deadlines) >= lease.capacity else max(holders.fence + 1, now_us)

    def hold(self, shield: Shield, now_us: int, fence: int, generation: int) -> int:
        """Take the lease and the claim that were found free; returns the generation."""
        self._make_room(shield, now_us)
        if shield.lease is not None:
            holders = self._held.setdefault(shield.lease.key, _Holders())
            assert isinstance(holders, _Holders)  # keys spell what they are
            holders.deadlines[shield.token] = now_us + shield.lease.ttl_us
            holders.fence = fence
            self._file(shield.lease.key, holders.ends_us)
        if shield.claim is not None:
            claim = shield.claim
            generation = generation or now_us
            record = _Record(_IN_PROGRESS, shield.token, claim.fingerprint, 0, 0, 0, generation, claim.backed)
            _work_until(record, claim, now_us)
            self._held[claim.key] = record
            self._file(claim.key, record.ends_us)
        return generation

    def settle(self, command: Settle, now_us: int) -> tuple[int, int]:
        """Give back what the token holds; 1 where it still did."""
        token, lease, claim, _ = command.shield
        lease_held = 0
        if lease is not None and isinstance(holders := self._held.get(lease.key), _Holders):
            lease_held = int(holders.deadlines.pop(token, 0) > now_us)
        record = None if claim is None else self._own(claim, token, now_us)
        if record is None or claim is None:
            return lease_held, 0
        self._end(record, claim, command.outcome, command.answer, now_us)
        return lease_held, 1

    def resolve(self, command: Resolve, now_us: int) -> int:
        """End a claim whose outcome is unknown, whoever held it: 1 done, 0 absent, 2 worked on, 3 completed."""
        record = self._held.get(command.claim.key)
        if not isinstance(record, _Record) or now_us >= record.lasts_us or record.state == Outcome.RELEASED:
            return 0
        if record.state == _IN_PROGRESS and now_us < record.deadline_us:
            return 2
        if record.state == Outcome.COMPLETED:
            return 3
        self._end(record, command.claim, command.outcome, command.answer, now_us)
        return 1

    def renew(self, shield: Shield, now_us: int) -> tuple[int, int]:
        """Hold on to what the token holds; 1 where it still did."""
        lease, claim = shield.lease, shield.claim
        lease_held = 0
        if lease is not None and isinstance(holders := self._held.get(lease.key), _Holders):
            lease_held = int(holders.deadlines.get(shield.token, 0) > now_us)
            if lease_held:
                holders.deadlines[shield.token] = now_us + lease.ttl_us
        record = None if claim is None else self._own(claim, shield.token, now_us)
        if record is not None and claim is not None:
            _work_until(record, claim, now_us)
        return lease_held, int(record is not None)

    def keys(self) -> list[str]:
        """Every key of a lease or a record."""
        return list(self._held)

    def seen(self, key: str, now_us: int) -> tuple[Holder, ...] | Record | None:
        """Who holds a lease now, or how a record reads."""
        held = self._held.get(key)
        if isinstance(held, _Record):
            return Raw(held.state, held.deadline_us, held.lasts_us, held.ends_us, held.generation).read(now_us)
        deadlines = {} if held is None else held.deadlines
        return tuple(Holder(token, deadline_us) for token, deadline_us in deadlines.items() if deadline_us > now_us)

    def forget(self, key: str) -> bool:
        """Drop a key; whether it existed."""
        return self._held.pop(key, None) is not None

    def _end(self, record: _Record, claim: Claim, outcome: Outcome, answer: bytes, now_us: int) -> None:
        if outcome is Outcome.DECLINED:
            del self._held[claim.key]
            return
        record.state = outcome.value
        record.token = ""
        record.deadline_us = now_us
        record.lasts_us = now_us + (claim.unknown_ttl_us if outcome is Outcome.UNKNOWN else claim.retention_us)
        record.ends_us = record.lasts_us + (0 if outcome is Outcome.COMPLETED else claim.memory_us)
        record.answer = answer
        self._file(claim.key, record.ends_us)

    def _own(self, claim: Claim, token: str, now_us: int) -> _Record | None:
        """The record while it lasts and this token works on it."""
        record = self._held.get(claim.key)
        if isinstance(record, _Record) and record.token == token and now_us < record.ends_us:
            return record
        return None

    def _file(self, key: str, ends_us: int) -> None:
        heapq.heappush(self._filed, (ends_us, key))

    def _make_room(self, shield: Shield, now_us: int) -> None:
        new = [one.key for one in (shield.lease, shield.claim) if one is not None and one.key not in self._held]
        looks = _LOOKS
        while self._filed and self._filed[0][0] <= now_us and (looks > 0 or len(self._held) + len(new) > self._limit):
            looks -= 1
            _, key = heapq.heappop(self._filed)
            held = self._held.get(key)
            if held is not None and held.ends_us <= now_us:
                del self._held[key]
            elif held is not None:
                self._file(key, held.ends_us)
        if len(self._held) + len(new) > self._limit:
            raise StoreError("refused", f"the memory store holds {self._limit} leases and records and takes no more")


def _work_until(record: _Record, claim: Claim, now_us: int) -> None:
    record.deadline_us = now_us + claim.ttl_us
    record.lasts_us = record.deadline_us + claim.unknown_ttl_us
    record.ends_us = record.lasts_us + claim.memory_us
