"""Commands as scripts, keys and arguments; replies as tuples of integers. No I/O but reading the scripts once."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

from ratelimit_core.commands import Acquire, Command, Peek, Reply
from ratelimit_core.errors import StoreError


class Script(NamedTuple):
    """A script and the digest that Redis knows it by."""

    source: str
    digest: str


class Call(NamedTuple):
    """One script call."""

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[str | int, ...]
    patient: bool = False


def _load(name: str) -> Script:
    folder = files("ratelimit_core.stores") / "lua"
    source = (folder / "gcra.lua").read_text("ascii") + (folder / f"{name}.lua").read_text("ascii")
    return Script(source, sha1(source.encode("ascii"), usedforsecurity=False).hexdigest())


_ACQUIRE, _PEEK, _RESET = _load("acquire"), _load("peek"), _load("reset")


def encode(command: Command, now_us: int) -> Call:
    """A command as a script call; `now_us` is 0 where the server's own clock counts."""
    if isinstance(command, Acquire):
        keys = tuple(charge.key for charge in command.all_charges())
        return Call(_ACQUIRE, keys, _arguments(command, now_us), command.patient)
    if isinstance(command, Peek):
        keys = tuple(charge.key for charge in command.charges)
        return Call(_PEEK, keys, _arguments(Acquire(command.charges), now_us))
    return Call(_RESET, command.keys, (now_us,))


def decode(reply: object) -> Reply:
    """A script's reply; raises StoreError for anything but a list of integers."""
    if isinstance(reply, list) and all(isinstance(number, int) for number in reply):
        return tuple(reply)
    raise StoreError("corrupt", f"the script replied {reply!r:.100}")


def _arguments(command: Acquire, now_us: int) -> tuple[int, ...]:
    found = [now_us]
    for group, charges in enumerate((command.charges, *command.observed)):
        for _, tolerance_us, increment_us in charges:
            found += (tolerance_us, increment_us, group)
    return tuple(found)
