"""The configuration in force: one frozen snapshot, which enforcement, headers and `ratelimit_status` all read."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import zip_longest
from typing import NamedTuple

from ratelimit_core.buckets import Bucket, Mode, Undecorated, default_buckets
from ratelimit_core.errors import ConfigurationError
from ratelimit_core.identity import Proxies, check_prefix
from ratelimit_core.parsing import merged, read_environment, read_settings
from ratelimit_core.quota import Quota
from ratelimit_core.rules import Rule, acts_on, ordered

_NAMESPACE = re.compile(r"[A-Za-z0-9._-]+")


class Source(StrEnum):
    """Where a bucket's mode comes from, lowest precedence first."""

    BUCKET = "bucket"
    SHADOW = "RATE_LIMIT_SHADOW"
    SHADOW_BUCKET = "RATE_LIMIT_SHADOW_<BUCKET>"
    OVERRIDE = "override"
    KILL_SWITCH = "RATE_LIMIT_ENABLED"


class Policy(NamedTuple):
    """A bucket with the mode that is in force for it."""

    bucket: Bucket
    mode: Mode
    source: Source


class Override(NamedTuple):
    """What is changed about a bucket at run time; None leaves what the settings say."""

    mode: Mode | None = None
    canary_percent: float | None = None
    quotas: tuple[Quota, ...] | None = None

    def over(self, bucket: Bucket) -> Bucket:
        """The bucket with these values; raises ConfigurationError for one that can't be used."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        if self.quotas is not None:
            given["quotas"] = _keeping_names(self.quotas, bucket.quotas)
        return replace(bucket, **given) if given else bucket


_UNCHANGED = Override()


@dataclass(frozen=True, slots=True)
class Config:
    """Exactly these buckets, and what is common to them.

    `Config.default()` starts from the four default buckets; `Config.from_env()` and `Config.from_settings()` read
    the flat settings of the README over them. Raises ConfigurationError for anything that can't be used.
    """

    buckets: tuple[Bucket, ...] | Iterable[Bucket]
    enabled: bool = True
    shadow: bool | None = None
    shadow_flags: Mapping[str, bool] = field(default_factory=dict)
    undecorated: Undecorated = Undecorated.SHADOW
    namespace: str = "ratelimit"
    store_url: str = field(default="memory://", repr=False)  # it may hold a password
    trusted_proxies: tuple[str, ...] = ()
    ipv6_prefix: int = 64
    draft_fields: bool = True
    rules: tuple[Rule, ...] = ()
    overrides: Mapping[str, Override] = field(default_factory=dict)  # `buckets` are read with them
    proxies: Proxies = field(init=False, repr=False, compare=False)
    policies: Mapping[str, Policy] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_values()
        buckets = tuple(self.buckets)
        names = [bucket.name for bucket in buckets]
        if len(set(names)) != len(names):
            raise ConfigurationError("buckets", names, "each bucket's name may be used once")
        for name in self.shadow_flags:
            if name not in names:
                raise ConfigurationError(f"RATE_LIMIT_SHADOW_{name.upper()}", self.shadow_flags[name], _known(names))
        for rule in self.rules:
            if rule.bucket not in names:
                raise ConfigurationError("RATE_LIMIT_RULES: bucket", rule.bucket, _known(names))
        for name in self.overrides:
            if name not in names:
                raise ConfigurationError("override: bucket", name, _known(names))
        buckets = tuple(self.overrides.get(bucket.name, _UNCHANGED).over(bucket) for bucket in buckets)
        object.__setattr__(self, "buckets", buckets)
        object.__setattr__(self, "rules", ordered(self.rules))
        object.__setattr__(self, "trusted_proxies", tuple(self.trusted_proxies))
        object.__setattr__(self, "proxies", Proxies(self.trusted_proxies, check_prefix(self.ipv6_prefix)))
        object.__setattr__(self, "policies", {bucket.name: self._policy(bucket) for bucket in buckets})

    def _check_values(self) -> None:
        for name in ("enabled", "draft_fields", "shadow"):
            value = getattr(self, name)
            if not isinstance(value, bool) and not (name == "shadow" and value is None):
                raise ConfigurationError(f"RATE_LIMIT_{name.upper()}", value, "True or False")
        if not isinstance(self.namespace, str) or not _NAMESPACE.fullmatch(self.namespace):
            raise ConfigurationError("RATE_LIMIT_NAMESPACE", self.namespace, "letters, digits, '.', '_' and '-'")
        proxies: object = self.trusted_proxies
        if isinstance(proxies, str):
            raise ConfigurationError("RATE_LIMIT_TRUSTED_PROXIES", proxies, "a list, not one text")
        if not isinstance(self.undecorated, Undecorated):
            raise ConfigurationError("RATE_LIMIT_UNDECORATED", self.undecorated, "Undecorated.SHADOW, .MODE or .OFF")

    def _policy(self, bucket: Bucket) -> Policy:
        flag = self.shadow_flags.get(bucket.name)
        source = Source.SHADOW_BUCKET if flag is not None else Source.SHADOW
        flag = self.shadow if flag is None else flag
        if not self.enabled:
            return Policy(bucket, Mode.OFF, Source.KILL_SWITCH)
        if self.overrides.get(bucket.name, _UNCHANGED).mode is not None:
            return Policy(bucket, bucket.mode, Source.OVERRIDE)
        if flag is None or bucket.mode is Mode.OFF:
            return Policy(bucket, bucket.mode, Source.BUCKET)
        return Policy(bucket, Mode.SHADOW if flag else Mode.ENFORCE, source)

    def policy(self, name: str) -> Policy:
        """The bucket of that name with its mode; raises ConfigurationError for an unknown name."""
        try:
            return self.policies[name]
        except KeyError:
            raise ConfigurationError("bucket", name, _known(self.policies)) from None

    def acting(self, names: Iterable[str], method: str) -> tuple[str, ...]:
        """Those of the buckets that act on a method; raises ConfigurationError for an unknown name."""
        return tuple(name for name in names if acts_on(self.policy(name).bucket, method, None))

    def check_cost(self, name: str, cost: int) -> None:
        """Raise ConfigurationError for a cost, written down somewhere, that a bucket could never admit."""
        burst = self.policy(name).bucket.least_burst
        if isinstance(cost, bool) or not isinstance(cost, int) or not 0 <= cost <= burst:
            raise ConfigurationError(f"bucket '{name}': cost", cost, f"a whole number from 0 to its burst, {burst}")

    def overridden(self, overrides: Mapping[str, Override], enabled: bool | None = None) -> "Config":
        """This configuration, changed at run time: a new snapshot.

        A mode of an override beats every shadow flag. `enabled=False` is the kill switch; nothing switches on what the
        settings switched off. Raises ConfigurationError for an unknown bucket and a value that can't be used.
        """
        return replace(self, overrides=overrides, enabled=self.enabled and enabled is not False)

    @classmethod
    def default(cls, overrides: Mapping[str, object] | None = None) -> "Config":
        """The four default buckets, changed or joined by those of `overrides` (the form of RATE_LIMIT_BUCKETS)."""
        return cls(buckets=merged(default_buckets(), overrides or {}))

    @classmethod
    def from_env(cls, mapping: Mapping[str, str], also_known: Iterable[str] = ()) -> "Config":
        """Read environment variables; an unknown RATE_LIMIT_* one only warns."""
        return cls.from_settings({}, mapping, also_known)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, object], environment: Mapping[str, str], also_known: Iterable[str] = ()
    ) -> "Config":
        """Read flat settings over environment variables of the same names; `also_known` are a door's own names."""
        known = frozenset(also_known)
        variables, chosen = read_environment(environment, known), read_settings(settings, known)
        overrides = variables.buckets if chosen.buckets is None else chosen.buckets
        buckets = merged(default_buckets(), overrides or {})
        names = {bucket.name for bucket in buckets}
        flags = _unaliased(variables.shadow_flags, names) | _unaliased(chosen.shadow_flags, names)
        plain = {**variables.plain, **chosen.plain}
        return cls(buckets=buckets, shadow_flags=flags, **plain)  # type: ignore[arg-type]  # read by name


def _keeping_names(quotas: Iterable[Quota], before: Iterable[Quota]) -> tuple[Quota, ...]:
    """A quota takes over the name of the one in its place: its key holds the name, and what was spent stands there."""
    pairs = zip_longest(quotas, before)
    return tuple(new if old is None or new.name else replace(new, name=old.name) for new, old in pairs if new)


def _known(names: Iterable[str]) -> str:
    return "the buckets are " + ", ".join(names)


def _unaliased(flags: Mapping[str, bool], names: set[str]) -> dict[str, bool]:
    """AUTH is accepted for AUTH_BOOTSTRAP, unless a bucket of that name exists."""
    read = dict(flags)
    if "auth" in read and "auth" not in names:
        flag = read.pop("auth")
        if read.setdefault("auth_bootstrap", flag) != flag:
            raise ConfigurationError(
                "RATE_LIMIT_SHADOW_AUTH", flag, "RATE_LIMIT_SHADOW_AUTH_BOOTSTRAP means the same and is set differently"
            )
    return read
