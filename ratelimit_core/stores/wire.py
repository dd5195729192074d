"""Commands as scripts, keys and arguments; replies as tuples of integers. No I/O but reading the scripts once."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple, TypeGuard

from ratelimit_core.commands import Acquire, Command, Finding, Peek, Renew, Reply, Resolve, Settle, Shield, Shielded
from ratelimit_core.errors import StoreError

Argument = str | int | bytes
SERVER_CLOCK = -1


class Script(NamedTuple):
    """A script and the digest that Redis knows it by."""

    source: str
    digest: str


class Call(NamedTuple):
    """One script call; its reply holds `size` integers."""

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[Argument, ...]
    size: int
    patient: bool = False


def _load(name: str) -> Script:
    folder = files("ratelimit_core.stores") / "lua"
    source = (folder / "gcra.lua").read_text("ascii") + (folder / f"{name}.lua").read_text("ascii")
    return Script(source, sha1(source.encode("ascii"), usedforsecurity=False).hexdigest())


_FINDINGS = frozenset(Finding)
_ACQUIRE, _SHIELD, _SETTLE, _RENEW = _load("acquire"), _load("shield"), _load("settle"), _load("renew")
_PEEK, _RESET, _RESOLVE = _load("peek"), _load("reset"), _load("resolve")


def encode(command: Command, now_us: int) -> Call:
    """A command as a script call; `now_us` is SERVER_CLOCK where the server's own counts."""
    if isinstance(command, Acquire):
        return _acquire(command, now_us)
    if isinstance(command, Peek):
        keys = tuple(charge.key for charge in command.charges)
        return Call(_PEEK, keys, _charges(Acquire(command.charges), now_us), 1 + len(keys))
    if isinstance(command, Settle):
        return _settle(command, now_us)
    if isinstance(command, Renew):
        return _renew(command, now_us)
    if isinstance(command, Resolve):
        claim = command.claim
        arguments = (now_us, command.outcome.value, command.answer, claim.retention_us, claim.memory_us)
        return Call(_RESOLVE, (claim.key,), arguments, 2, patient=True)
    return Call(_RESET, command.keys, (now_us,), 2)


def decode(reply: object, size: int) -> Reply:
    """A script's reply of `size` integers, alone or first in a shielded one; raises StoreError for anything else."""
    if _are_numbers(reply, size):
        return tuple(reply)
    if isinstance(reply, list) and len(reply) == 6 and _are_numbers(reply[0], size):
        rooms, finding, wait_us, fence, generation, answer = reply
        if _are_numbers([finding, wait_us, fence, generation], 4) and finding in _FINDINGS and type(answer) is bytes:
            return Shielded(tuple(rooms), Finding(finding), wait_us, fence, generation, answer)
    raise StoreError("corrupt", f"the script replied {reply!r:.100}")


def _are_numbers(reply: object, size: int) -> TypeGuard[list[int]]:
    return isinstance(reply, list) and len(reply) == size and all(type(number) is int for number in reply)


def _charges(command: Acquire, now_us: int) -> tuple[int, ...]:
    found = [now_us]
    for group, charges in enumerate((command.charges, *command.observed)):
        for _, tolerance_us, increment_us in charges:
            found += (tolerance_us, increment_us, group)
    return tuple(found)


def _acquire(command: Acquire, now_us: int) -> Call:
    keys = tuple(charge.key for charge in command.all_charges())
    shield = command.shield
    if shield is None:
        return Call(_ACQUIRE, keys, _charges(command, now_us), 1 + len(keys), command.patient)
    claim, lease = shield.claim, shield.lease
    size = 1 + len(keys)
    keys += (
        claim.key if claim else keys[0],
        claim.replay.key if claim else keys[0],
        lease.key if lease else keys[0],
    )
    arguments: tuple[Argument, ...] = (0 if shield.at is None else shield.at + 1, shield.token)
    if claim is None:
        arguments += (0, "", 0, 0, 0, 0, 0, 0, 0)
    else:
        arguments += (1, claim.fingerprint, claim.ttl_us, claim.unknown_ttl_us, claim.memory_us)
        arguments += (claim.replay.tolerance_us, claim.replay.increment_us, int(claim.takeover), int(claim.backed))
    arguments += (0, 0, 0) if lease is None else (1, lease.capacity, lease.ttl_us)
    return Call(_SHIELD, keys, _charges(command, now_us) + arguments, size, command.patient)


def _settle(command: Settle, now_us: int) -> Call:
    token, lease, claim, _ = command.shield
    ends = (claim.unknown_ttl_us, claim.retention_us, claim.memory_us) if claim else (0, 0, 0)
    arguments = (
        now_us,
        token,
        int(claim is not None),
        command.outcome.value,
        command.answer,
        *ends,
        int(lease is not None),
    )
    return Call(_SETTLE, _held_keys(command.shield), arguments, 3, patient=True)


def _renew(command: Renew, now_us: int) -> Call:
    token, lease, claim, _ = command.shield
    ends = (claim.ttl_us, claim.unknown_ttl_us, claim.memory_us) if claim else (0, 0, 0)
    holds = (1, lease.ttl_us) if lease else (0, 0)
    arguments = (now_us, token, int(claim is not None), *ends, *holds)
    return Call(_RENEW, _held_keys(command.shield), arguments, 3, patient=True)


def _held_keys(shield: Shield) -> tuple[str, str]:
    """The record's key and the lease's; where a shield has only one of them it stands for both."""
    claim = shield.claim.key if shield.claim else ""
    lease = shield.lease.key if shield.lease else ""
    return claim or lease, lease or claim
