"""The only place that spells a store key.

    shop:rl:read:{user:42}            the first quota of a bucket
    shop:rl:read:{user:42}#3600s      a further quota
    shop:rl:chat:{user:42}|room-7     narrowed by a scope

The identity stands in braces, a Redis Cluster hash tag, so that all keys of one identity share a slot. A component
is plain (`[A-Za-z0-9._:@/-]`, at most 64 characters) or `~` and the base64url SHA-256 of it; the separators
`| # ~ { }` are in no plain component, so two different things never share a key.
"""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from ratelimit_core.identity import Identity

_PLAIN = re.compile(r"[A-Za-z0-9._:@/-]{1,64}")


def component(text: str) -> str:
    """The text itself where it is plain, else `~` and 43 characters of its SHA-256."""
    if _PLAIN.fullmatch(text):
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return "~" + urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def tag(identity: Identity) -> str:
    """The identity as a hash tag: `{user:42}`."""
    return f"{{{identity.kind}:{component(identity.value)}}}"


def quota(namespace: str, bucket: str, identity: Identity, scope: str | None, label: str | None) -> str:
    """The key of a quota; `label` is None for a bucket's first one."""
    key = f"{namespace}:rl:{bucket}:{tag(identity)}"
    if scope is not None:
        key = f"{key}|{component(scope)}"
    return key if label is None else f"{key}#{label}"
