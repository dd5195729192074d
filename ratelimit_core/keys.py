"""The only place that spells a store key.

    shop:rl:read:{user:42}            the first quota of a bucket
    shop:rl:read:{user:42}#3600s      a further quota
    shop:rl:chat:{user:42}|room-7     narrowed by a scope
    shop:replay:financial:{user:42}   the quota of answers that cost nothing else
    shop:lock:{user:42}|<route>       a lease; shop:lock:{booking:17} one on a shared resource
    shop:idem:{user:42}|<sha256>      an idempotency record
    shop:shadow:lock:...              leases and records of a bucket that only observes
    shop:policy                       a mark that changes when a policy was changed at run time

The identity stands in braces, a Redis Cluster hash tag, so that all keys of one identity share a slot. A component
is plain (`[A-Za-z0-9._:@/-]`, at most 64 characters) or `~` and the base64url SHA-256 of it; the separators
`| # ~ { }` are in no plain component, so two different things never share a key.
"""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import NamedTuple

from ratelimit_core.buckets import Bucket
from ratelimit_core.errors import IdentityError
from ratelimit_core.identity import KINDS, Identity

_PLAIN = re.compile(r"[A-Za-z0-9._:@/-]{1,64}")
_SHADOW = "shadow:"
_OF_BUCKETS = ("rl", "replay")
_OF_SHIELDS = ("lock", "idem")
_GLOB = re.compile(r"[*?\[\]\\^-]")


def component(text: str) -> str:
    """The text itself where it is plain, else `~` and 43 characters of its SHA-256."""
    if _PLAIN.fullmatch(text):
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return "~" + urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def tag(identity: Identity) -> str:
    """The identity as a hash tag: `{user:42}`; raises IdentityError for a kind that could spell another's key."""
    if identity.kind not in KINDS:
        raise IdentityError(f"identity kind = {identity.kind!r} can't be charged: use Identity.user, .ip or .key")
    return f"{{{identity.kind}:{component(identity.value)}}}"


def quota(namespace: str, bucket: str, identity: Identity, scope: str | None, label: str | None) -> str:
    """The key of a quota; `label` is None for a bucket's first one."""
    key = f"{namespace}:rl:{bucket}:{tag(identity)}"
    if scope is not None:
        key = f"{key}|{component(scope)}"
    return key if label is None else f"{key}#{label}"


def quotas(namespace: str, bucket: Bucket, identity: Identity, scope: str | None) -> tuple[str, ...]:
    """The keys of all quotas of a bucket, in its order; the first has no label, so renaming it forgets nothing."""
    labels = (None, *[one.label for one in bucket.quotas[1:]])
    return tuple([quota(namespace, bucket.name, identity, scope, label) for label in labels])


def replay(namespace: str, bucket: str, identity: Identity) -> str:
    """The key of the quota for answers that cost nothing else."""
    return f"{namespace}:replay:{bucket}:{tag(identity)}"


def lease(namespace: str, identity: Identity, route: str, shared: str | None, shadow: bool) -> str:
    """The key of a lease: of an identity on a route, or of a shared resource whoever asks."""
    owner = f"{tag(identity)}|{component(route)}" if shared is None else f"{{{component(shared)}}}"
    return f"{namespace}:{_SHADOW if shadow else ''}lock:{owner}"


def record(namespace: str, identity: Identity, name: str, shadow: bool) -> str:
    """The key of an idempotency record; `name` is a digest."""
    return f"{namespace}:{_SHADOW if shadow else ''}idem:{tag(identity)}|{name}"


def record_parts(key: str) -> tuple[str, str]:
    """The identity and the name in a key that `record` spelled, for a record that is kept elsewhere too."""
    owner, _, name = key.partition("|")
    return owner.partition("{")[2].removesuffix("}"), name


def policy(namespace: str) -> str:
    """The key of the mark by which processes tell each other that a policy was changed."""
    return f"{namespace}:policy"


class Spelled(NamedTuple):
    """What a key of somebody's stands for.

    `kind` is `rl`, `replay`, `lock` or `idem`; `name` the bucket of the first two, the route of a lease, the digest of
    a record. Route and scope are as `component` spells them.
    """

    kind: str
    name: str
    scope: str | None = None
    label: str | None = None
    shadow: bool = False


def pattern(namespace: str, identity: Identity) -> str:
    """A pattern for SCAN that every key of an identity matches."""
    escaped = (_GLOB.sub(r"\\\g<0>", text) for text in (namespace, tag(identity)))
    return ":*".join(escaped) + "*"


def read(key: str, namespace: str, identity: Identity) -> Spelled | None:
    """What a key stands for; None for one that is not this identity's."""
    head, found, rest = key.partition(tag(identity))
    place = head.removeprefix(f"{namespace}:")
    if not found or place == head or (rest and rest[0] not in "|#"):
        return None
    rest, _, label = rest.partition("#")
    scope = rest[1:] if rest else None
    shadow = place.startswith(_SHADOW)
    kind, _, name = place.removeprefix(_SHADOW).removesuffix(":").partition(":")
    if kind in _OF_SHIELDS and not name and scope is not None:
        return Spelled(kind, scope, shadow=shadow)
    if kind in _OF_BUCKETS and name and not shadow:
        return Spelled(kind, name, scope, label or None)
    return None
