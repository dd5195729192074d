"""A bucket: a named policy of quotas, mode and shields. Values only; what they mean is decided in `flow`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass, field
from enum import StrEnum

from ratelimit_core.errors import ConfigurationError
from ratelimit_core.quota import Quota

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_DAY_US = 86_400_000_000


class Mode(StrEnum):
    """What a bucket does about a refusal."""

    OFF = "off"
    SHADOW = "shadow"
    CANARY = "canary"
    ENFORCE = "enforce"


class Undecorated(StrEnum):
    """What happens to views that no decorator and no rule claims."""

    SHADOW = "shadow"
    MODE = "mode"
    OFF = "off"


class StoreDown(StrEnum):
    """What a bucket does without its store."""

    OPEN = "open"
    CLOSED = "closed"
    ALLOW = "allow"


class Identify(StrEnum):
    """Whom a bucket charges: the user and else the address, or always the address."""

    USER = "user"
    ADDRESS = "address"


class Idempotency(StrEnum):
    """Where the name of an idempotency record comes from."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    DERIVED = "derived"


class Record(StrEnum):
    """Where an idempotency record lives."""

    STORE = "store"
    DATABASE = "database"


class OnError(StrEnum):
    """What an exception or a 5xx leaves behind."""

    UNKNOWN = "unknown"
    RELEASE = "release"


_CHOICES: dict[str, type[StrEnum]] = {
    "mode": Mode,
    "identify": Identify,
    "idempotency": Idempotency,
    "record": Record,
    "on_error": OnError,
    "store_down": StoreDown,
}
_DURATIONS = ("lease_ttl_us", "retention_us", "derived_ttl_us", "unknown_ttl_us")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A named policy; the fields and their defaults are those of the README's table.

    Give `quotas` or `quota`, as `Quota` or as text (`"60/m:10"`). Durations are microseconds. Append further quotas:
    the first one's key has no suffix, so what was spent before keeps counting where it did. Raises
    ConfigurationError for a value that can't be used or a shield that would be dropped with the store.

    `shielded` says that an admission may hold a lease or a claim, which must be settled; a cost above `least_burst`
    can never be admitted.
    """

    name: str
    quotas: Sequence[Quota] = ()
    quota: InitVar[Quota | str | None] = None
    mode: Mode = Mode.ENFORCE
    canary_percent: float = 0
    identify: Identify = Identify.USER
    require_user: bool = False
    concurrency: int | None = None
    lease_ttl_us: int = 30_000_000
    idempotency: Idempotency | None = None
    record: Record = Record.STORE
    retention_us: int = _DAY_US
    derived_ttl_us: int | None = None
    unknown_ttl_us: int | None = None
    on_error: OnError = OnError.UNKNOWN
    replay_quota: Quota = field(default_factory=lambda: Quota.parse("60/m:20"))
    max_body: int = 10 * 1024 * 1024
    store_down: StoreDown = StoreDown.OPEN
    unprotected_when_down: bool = False
    shielded: bool = field(init=False, repr=False, compare=False)
    least_burst: int = field(init=False, repr=False, compare=False)

    def __post_init__(self, quota: Quota | str | None) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigurationError("bucket name", self.name, "it must match [a-z][a-z0-9_]{0,31}")
        object.__setattr__(self, "quotas", self._read_quotas(quota))
        object.__setattr__(self, "replay_quota", self._read_quota(self.replay_quota))
        for name, choice in _CHOICES.items():
            object.__setattr__(self, name, self._choose(name, choice))
        self._check_numbers()
        object.__setattr__(self, "shielded", self.concurrency is not None or self.idempotency is not None)
        object.__setattr__(self, "least_burst", min(quota.burst for quota in self.quotas))
        self._check_shields()

    def _refuse(self, field_name: str, value: object, accepted: str) -> ConfigurationError:
        return ConfigurationError(f"bucket '{self.name}': {field_name}", value, accepted)

    def _read_quotas(self, quota: Quota | str | None) -> tuple[Quota, ...]:
        given: Iterable[Quota | str] = self.quotas
        if isinstance(given, str | Quota) or not isinstance(given, Iterable):
            raise self._refuse("quotas", given, "a list of quotas; a single one goes into quota=")
        quotas = tuple(map(self._read_quota, given if quota is None else (*given, quota)))
        if not quotas or (self.quotas and quota is not None):
            raise self._refuse("quotas", quotas, "give quota= or quotas=, at least one quota, not both")
        if len({one.label for one in quotas}) != len(quotas):
            raise self._refuse("quotas", [one.label for one in quotas], "each needs a name of its own (name=)")
        return quotas

    def _read_quota(self, value: Quota | str) -> Quota:
        try:
            return value if isinstance(value, Quota) else Quota.parse(value)
        except ConfigurationError as error:
            raise error.within(f"bucket '{self.name}'") from None

    def _choose(self, name: str, choice: type[StrEnum]) -> StrEnum | None:
        value = getattr(self, name)
        if value is None and name == "idempotency":
            return None
        try:
            return choice(value)
        except ValueError:
            raise self._refuse(name, value, "one of " + ", ".join(choice)) from None

    def _check_numbers(self) -> None:
        percent = self.canary_percent
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
            raise self._refuse("canary_percent", percent, "a number from 0 to 100")
        for name in ("require_user", "unprotected_when_down"):
            if not isinstance(getattr(self, name), bool):
                raise self._refuse(name, getattr(self, name), "true or false")
        if self.concurrency is not None and not _whole(self.concurrency, 1):
            raise self._refuse("concurrency", self.concurrency, "a whole number of slots, at least 1, or none")
        if not _whole(self.max_body, 0):
            raise self._refuse("max_body", self.max_body, "a whole number of bytes, 0 or more")
        for name in _DURATIONS:
            value = getattr(self, name)
            optional = name in ("derived_ttl_us", "unknown_ttl_us")
            if not (value is None and optional) and not (_whole(value, 1) and value <= 7 * _DAY_US):
                raise self._refuse(name, value, "more than nothing and at most 7 days")

    def _check_shields(self) -> None:
        if self.idempotency is Idempotency.DERIVED and self.identify is Identify.ADDRESS:
            raise self._refuse(
                "idempotency", "derived", "an address may stand for many people; use identify='user' or explicit keys"
            )
        if self.shielded and self.store_down is not StoreDown.CLOSED and not self.unprotected_when_down:
            raise self._refuse(
                "store_down",
                self.store_down.value,
                "'closed', because a lease or idempotency would be dropped with the store; or say "
                "unprotected_when_down=True",
            )


def default_buckets() -> tuple[Bucket, ...]:
    """The four buckets that exist without any configuration."""
    return (
        Bucket("auth_bootstrap", quota="100/m:20", mode=Mode.SHADOW),
        Bucket("read", quota="60/m:10", mode=Mode.SHADOW),
        Bucket("write", quota="20/m:3"),
        Bucket(
            "financial",
            quota="5/m:1",
            require_user=True,
            concurrency=1,
            idempotency=Idempotency.DERIVED,
            store_down=StoreDown.CLOSED,
        ),
    )


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
