"""What a caller says to `admit` and `peek`, as the one `Ask` that the flow reads."""

from collections.abc import Iterable
from secrets import token_hex
from typing import TypedDict

from ratelimit_core.config import Config
from ratelimit_core.decision import Admission
from ratelimit_core.errors import IdentityError
from ratelimit_core.identity import Identity, RequestInfo
from ratelimit_core.shielding import Wish
from ratelimit_core.stances import Ask

Who = Identity | RequestInfo
Buckets = str | Iterable[str]

_NO_WISH = Wish()


class Options(TypedDict, total=False):
    """What an admission may say besides who, which bucket and what cost.

    `scope` narrows the identity (a conversation, a tenant); `identity` replaces the one that is charged (the account
    name of a login form); `route` is a template for the sinks, never a path; `observe` refuses nothing; `prior` is
    an earlier admission of the same request: what it charged is not charged again.

    For buckets with shields: `idempotency_key` is the raw header or field, `fingerprint` names the request where no
    key does and is compared where one does, `lease_on` names a shared resource for the lease (`booking:17`).
    `takeover` claims a record whose outcome the caller knows better than the store; `too_large`: no fingerprint.
    """

    scope: str | None
    route: str | None
    identity: Identity | None
    observe: bool
    prior: Admission | None
    idempotency_key: str | None
    fingerprint: str | None
    lease_on: str | None
    takeover: bool
    too_large: bool


def ask(config: Config, who: Who, bucket: Buckets, cost: int, options: Options) -> Ask:
    """Read the options; raises IdentityError, TypeError and ConfigurationError for what can't be asked."""
    if not isinstance(who, Identity | RequestInfo):
        raise IdentityError(f"who = {who!r:.100} can't be charged: give an Identity or a RequestInfo")
    if options:
        _check(options)
    buckets = names(bucket)
    shielded = any(config.policy(name).bucket.shielded for name in buckets)
    where = options.get("scope"), options.get("route"), options.get("identity")
    wish = _wish(options) if shielded else _NO_WISH
    return Ask(who, buckets, cost, *where, options.get("observe", False), options.get("prior"), wish)


def _check(options: Options) -> None:
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    for name in ("scope", "route", "lease_on"):
        if not isinstance(options.get(name), str | None):
            raise IdentityError(f"{name} = {options.get(name)!r:.100} can't be used: give text or None")


def _wish(options: Options) -> Wish:
    """A token is drawn for what may be held only: a plain admission is no place for the system's randomness."""
    flags = options.get("takeover", False), options.get("too_large", False)
    named = options.get("idempotency_key"), options.get("fingerprint"), options.get("lease_on")
    return Wish(token_hex(16), *named, *flags)


def names(bucket: Buckets) -> tuple[str, ...]:
    """One bucket's name or several, as a tuple."""
    return (bucket,) if isinstance(bucket, str) else tuple(bucket)
