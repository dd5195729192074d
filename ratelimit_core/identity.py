"""Who is charged, and the client's address behind trusted proxies."""

import ipaddress
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from ratelimit_core.errors import ConfigurationError, IdentityError

UNIX = "unix"
KINDS = frozenset({"user", "ip", "key"})
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "::1/128", "fc00::/7", "fe80::/10")
)
_LONGEST_HEADER = 8_192
_LONGEST_REMEMBERED = 256


class Identity(NamedTuple):
    """Who is charged; written `user:42`, `ip:203.0.113.9` or `key:...`."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"

    @classmethod
    def user(cls, pk: object) -> "Identity":
        """An authenticated user by primary key (0 and UUIDs included); raises IdentityError for None and ''."""
        return cls("user", _text(pk, "user"))

    @classmethod
    def ip(cls, address: object) -> "Identity":
        """An address or network, as text; an IPv6 client is known by its network, such as `2001:db8::/64`."""
        return cls("ip", _text(address, "ip"))

    @classmethod
    def key(cls, value: object) -> "Identity":
        """Anything else that names a client: an account name, an API key's id, a job."""
        return cls("key", _text(value, "key"))


class RequestInfo(NamedTuple):
    """What a door knows of a request. `peer` is the socket's address, `"unix"`, or None when there is none."""

    method: str = "GET"
    path: str = "/"
    peer: str | None = None
    forwarded_for: tuple[str, ...] = ()
    user: Identity | None = None


class AddressNote(StrEnum):
    """What an operator should know about how an address was found."""

    NO_PEER = "no_peer"
    FORWARDED_IGNORED = "forwarded_ignored"


class Located(NamedTuple):
    """A client address, with a note when it is probably not what the operator wants."""

    identity: Identity
    note: AddressNote | None = None


class Proxies:
    """The peers whose forwarding headers are believed: CIDRs, addresses, `private`, `unix`."""

    __slots__ = ("_networks", "_prefix", "_remembered", "_unix")

    def __init__(self, trusted: Iterable[str] = (), ipv6_prefix: int = 64) -> None:
        names = [name.strip() for name in trusted]
        self._unix = UNIX in names
        self._networks = tuple(net for name in names if name != UNIX for net in _networks(name))
        self._prefix = ipv6_prefix
        self._remembered = lru_cache(maxsize=4_096)(self._locate)

    def locate(self, peer: str | None, forwarded_for: tuple[str, ...]) -> Located:
        """The client's address: from the right, the first hop that is no trusted proxy."""
        if sum(map(len, forwarded_for)) > _LONGEST_REMEMBERED:
            return self._locate(peer, forwarded_for)
        return self._remembered(peer, forwarded_for)

    def _trusts(self, peer: _Address | str) -> bool:
        if isinstance(peer, str):
            return self._unix
        return any(peer in network for network in self._networks)

    def _locate(self, peer: str | None, forwarded_for: tuple[str, ...]) -> Located:
        hop = UNIX if peer == UNIX else _parse(peer or "")
        if hop is None:
            return Located(Identity("ip", "unknown"), AddressNote.NO_PEER)
        if not self._trusts(hop):
            near = isinstance(hop, str) or any(hop in network for network in _PRIVATE)
            note = AddressNote.FORWARDED_IGNORED if forwarded_for and near else None
            return Located(self._name(hop), note or (AddressNote.NO_PEER if isinstance(hop, str) else None))
        for part in reversed(_hops(forwarded_for)):
            parsed = _parse(part)
            if parsed is None:
                break
            hop = parsed
            if not self._trusts(hop):
                break
        return Located(self._name(hop), AddressNote.NO_PEER if isinstance(hop, str) else None)

    def _name(self, hop: _Address | str) -> Identity:
        if isinstance(hop, str):
            return Identity("ip", "unknown")
        if isinstance(hop, ipaddress.IPv6Address) and self._prefix < 128:
            return Identity("ip", str(ipaddress.ip_network((hop, self._prefix), strict=False)))
        return Identity("ip", str(hop))


def check_prefix(prefix: object) -> int:
    """A usable IPv6 prefix length, 32 to 128."""
    if isinstance(prefix, bool) or not isinstance(prefix, int) or not 32 <= prefix <= 128:
        raise ConfigurationError("RATE_LIMIT_IPV6_PREFIX", prefix, "a whole number from 32 to 128")
    return prefix


def _networks(name: str) -> Sequence[_Network]:
    if name == "private":
        return _PRIVATE
    try:
        network = ipaddress.ip_network(name)
    except ValueError:
        raise ConfigurationError(
            "RATE_LIMIT_TRUSTED_PROXIES", name, "addresses, CIDR networks ('10.0.0.0/8'), 'private' or 'unix'"
        ) from None
    return (network,)


def _hops(lines: tuple[str, ...]) -> list[str]:
    """All forwarding lines as one list; of an absurdly long one the right end, which the nearest proxies wrote."""
    line = ",".join(lines)
    if len(line) > _LONGEST_HEADER:
        line = line[-_LONGEST_HEADER:].partition(",")[2]
    return line.split(",") if line.strip() else []


def _parse(text: str) -> _Address | None:
    """An address without port, brackets and zone; an IPv4-mapped one as IPv4; None for anything else."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text, closed, port = text[1:].partition("]")
        if not closed or (port and not (port[0] == ":" and port[1:].isdigit())):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not port.isdigit():
            return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _text(value: object, kind: str) -> str:
    if value is None or (text := str(value)) == "":
        raise IdentityError(f"{kind} = {value!r} names nobody: give a primary key, an address or a key")
    return text
