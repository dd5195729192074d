"""How identities and routes are written down: bounded, storable by every database, and as private as the site wants."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import blake2b

from django.utils.crypto import salted_hmac

_LONGEST = 160  # the column has room for more: escapes make a text longer
_KEPT = 60
_COLUMN = 200
_HASHED = ":~"
_AS_HASHED = re.compile(r"[^:]*:~([A-Za-z0-9_-]{11})")

Who = tuple[str, str | None]
"""An identity and the scope that narrows it."""


def bounded(text: str) -> str:
    """The text itself, or of a long one the beginning and a hash of all of it."""
    if len(text) <= _LONGEST:
        return text
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
    return f"{text[:_KEPT]}~{_readable(digest)}"


def storable(text: str) -> str:
    """What every database takes: no NUL, no half of a pair, no more than the column holds."""
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
    if len(clean) <= _COLUMN:
        return clean
    digest = blake2b(clean.encode("utf-8"), digest_size=12).digest()
    return f"{clean[:_KEPT]}~{_readable(digest)}"


def hash_key() -> bytes:
    """The key of `keyed_hash`: nobody without SECRET_KEY can try identities against hashes."""
    return salted_hmac(__name__, "identities", algorithm="sha256").digest()


def keyed_hash(key: bytes, who: Who) -> bytes:
    """Eight bytes that stand for an identity, or for one narrowed by a scope."""
    identity, scope = who
    text = storable(identity) if scope is None else f"{storable(identity)}\0{storable(scope)}"
    return blake2b(text.encode("utf-8"), digest_size=8, key=key).digest()


def hashed(identity: str, hash_of: Callable[[Who], bytes]) -> str:
    """An identity's kind and hash: `user:~hJ9Qz0aT3mk`."""
    kind, colon, _ = identity.partition(":")
    return f"{storable(kind)[:_KEPT] if colon else 'key'}{_HASHED}{_readable(hash_of((identity, None)))}"


def sample_name(name: str) -> str:
    """What stands in samples, in hexadecimal, for an identity that was written down plain or hashed."""
    found = _AS_HASHED.fullmatch(name)
    if found is not None:
        return urlsafe_b64decode(found[1] + "=").hex()
    return keyed_hash(hash_key(), (name, None)).hex()


def _readable(digest: bytes) -> str:
    return urlsafe_b64encode(digest).decode("ascii").rstrip("=")
