"""From raw settings and environment variables to values; every error names the setting and what is accepted."""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from types import MappingProxyType

from ratelimit_core.buckets import Bucket, Undecorated
from ratelimit_core.errors import ConfigurationError
from ratelimit_core.quota import Quota, parse_duration
from ratelimit_core.rules import Rule

_PREFIX = "RATE_LIMIT_"
_SHADOW = "RATE_LIMIT_SHADOW_"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_ALIASES = {"RATE_LIMIT_REDIS_URL": "RATE_LIMIT_STORE_URL"}
_FLAGS = ("require_user", "unprotected_when_down")
_DURATIONS = {"lease_ttl", "retention", "derived_ttl", "unknown_ttl"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What was read: keyword arguments of `Config`, bucket overrides and shadow flags by bucket."""

    plain: Mapping[str, object] = field(default_factory=dict)
    buckets: Mapping[str, object] = field(default_factory=dict)
    shadow_flags: Mapping[str, bool] = field(default_factory=dict)

    def __or__(self, other: "Settings") -> "Settings":
        return Settings(
            {**self.plain, **other.plain},
            other.buckets or self.buckets,
            {**self.shadow_flags, **other.shadow_flags},
        )


def parse_bool(value: object, setting: str) -> bool:
    """1/true/yes/on and 0/false/no/off in any case; ConfigurationError for anything else."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ConfigurationError(setting, value, "1, true, yes or on; 0, false, no or off")


def read_environment(environment: Mapping[str, str], known: frozenset[str]) -> Settings:
    """Read the RATE_LIMIT_* variables; an empty one is unset, an unknown one warns."""
    given = {name: text for name, text in environment.items() if name.startswith(_PREFIX) and text.strip()}
    for name in [name for name in given if not _is_known(name, known)]:
        warnings.warn(_unknown(name, given.pop(name), known).args[0], stacklevel=2)
    return _read(given)


def read_settings(settings: Mapping[str, object], known: frozenset[str]) -> Settings:
    """Read the RATE_LIMIT_* settings; None is unset, an unknown one raises ConfigurationError."""
    given = {name: value for name, value in settings.items() if name.startswith(_PREFIX) and value is not None}
    for name, value in given.items():
        if not _is_known(name, known):
            raise _unknown(name, value, known)
    return _read(given)


def merged(defaults: Iterable[Bucket], overrides: Mapping[str, object]) -> tuple[Bucket, ...]:
    """The default buckets, changed or joined by `overrides`: a Bucket, or its fields by name."""
    buckets = {bucket.name: bucket for bucket in defaults}
    for name, value in overrides.items():
        buckets[name] = _bucket(name, value, buckets.get(name))
    return tuple(buckets.values())


def _is_known(name: str, known: frozenset[str]) -> bool:
    return name in _READERS or name in _ALIASES or name in known or name.startswith(_SHADOW)


def _unknown(name: str, value: object, known: frozenset[str]) -> ConfigurationError:
    names = sorted({*_READERS, *_ALIASES, *known, f"{_SHADOW}<BUCKET>"})
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    return ConfigurationError(name, value, f"no such setting; {hint}known are {', '.join(names)}")


def _read(given: Mapping[str, object]) -> Settings:
    plain: dict[str, object] = {}
    buckets: Mapping[str, object] = {}
    flags: dict[str, bool] = {}
    for name, value in _canonical(given).items():
        if name == "RATE_LIMIT_BUCKETS":
            buckets = _mapping(value, name)
        elif name.startswith(_SHADOW):
            flags[name.removeprefix(_SHADOW).lower()] = parse_bool(value, name)
        elif name in _READERS:
            keyword, reader = _READERS[name]
            plain[keyword] = reader(value, name)
    return Settings(plain, buckets, flags)


def _canonical(given: Mapping[str, object]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in given.items():
        canonical = _ALIASES.get(name, name)
        if canonical in values and values[canonical] != value:
            raise ConfigurationError(name, value, f"{canonical} means the same and is set differently; keep one")
        values[canonical] = value
    return values


def _text(value: object, setting: str) -> str:
    if isinstance(value, str):
        return value.strip()
    raise ConfigurationError(setting, value, "text")


def _whole(value: object, setting: str) -> int:
    try:
        return value if isinstance(value, int) else int(_text(value, setting))
    except ValueError:
        raise ConfigurationError(setting, value, "a whole number") from None


def _list(value: object, setting: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise ConfigurationError(setting, value, "a list of names, or one text with commas")


def _undecorated(value: object, setting: str) -> Undecorated:
    try:
        return Undecorated(_text(value, setting).lower())
    except ValueError:
        raise ConfigurationError(setting, value, "'shadow', 'mode' or 'off'") from None


def _json(value: object, setting: str) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ConfigurationError(setting, value, f"JSON that parses ({error})") from None


def _mapping(value: object, setting: str) -> Mapping[str, object]:
    read = _json(value, setting)
    if not isinstance(read, Mapping):
        raise ConfigurationError(setting, value, 'a dict such as {"chat": {"quota": "60/m", "burst": 10}}')
    return read


def _rules(value: object, setting: str) -> tuple[Rule, ...]:
    read = _json(value, setting)
    if not isinstance(read, list | tuple):
        raise ConfigurationError(setting, value, 'a list such as [{"bucket": "write", "path": "/api/"}]')
    return tuple(_rule(one, setting) for one in read)


def _rule(value: object, setting: str) -> Rule:
    if isinstance(value, Rule):
        return value
    names = {one.name for one in fields(Rule)}
    if not isinstance(value, Mapping) or "bucket" not in value or not names.issuperset(value):
        raise ConfigurationError(setting, value, f"a dict with bucket and any of {', '.join(sorted(names))}")
    return Rule(**value)


_READERS: Mapping[str, tuple[str, Callable[[object, str], object]]] = MappingProxyType(
    {
        "RATE_LIMIT_ENABLED": ("enabled", parse_bool),
        "RATE_LIMIT_SHADOW": ("shadow", parse_bool),
        "RATE_LIMIT_UNDECORATED": ("undecorated", _undecorated),
        "RATE_LIMIT_NAMESPACE": ("namespace", _text),
        "RATE_LIMIT_STORE_URL": ("store_url", _text),
        "RATE_LIMIT_TRUSTED_PROXIES": ("trusted_proxies", _list),
        "RATE_LIMIT_IPV6_PREFIX": ("ipv6_prefix", _whole),
        "RATE_LIMIT_DRAFT_FIELDS": ("draft_fields", parse_bool),
        "RATE_LIMIT_RULES": ("rules", _rules),
        "RATE_LIMIT_BUCKETS": ("buckets", _mapping),
    }
)


def _bucket(name: str, value: object, base: Bucket | None) -> Bucket:
    if isinstance(value, Bucket) and value.name == name:
        return value
    setting = f"RATE_LIMIT_BUCKETS['{name}']"
    if not isinstance(value, Mapping):
        raise ConfigurationError(setting, value, "a dict of the bucket's fields")
    known = {one.name for one in fields(Bucket)} - {"name"}
    values: dict[str, object] = {} if base is None else {one: getattr(base, one) for one in known - {"quota"}}
    values["quotas"] = _quotas(value, base, setting)
    for field_name, raw in value.items():
        if field_name in ("quota", "quotas", "burst"):
            continue
        target = f"{field_name}_us" if field_name in _DURATIONS else field_name
        if target not in known or (target.endswith("_us") and target == field_name):
            raise ConfigurationError(f"{setting}['{field_name}']", raw, "no such field; known are " + _names(known))
        values[target] = _field(field_name, raw, f"{setting}['{field_name}']")
    return Bucket(name, **values)  # type: ignore[arg-type]  # Bucket itself checks every value


def _names(known: set[str]) -> str:
    return ", ".join(sorted(one.removesuffix("_us") for one in known | {"burst"}))


def _field(name: str, raw: object, setting: str) -> object:
    if name in _DURATIONS and raw is not None:
        return parse_duration(raw, setting)
    return parse_bool(raw, setting) if name in _FLAGS else raw


def _quotas(value: Mapping[str, object], base: Bucket | None, setting: str) -> tuple[Quota, ...]:
    burst = value.get("burst")
    if "quotas" in value:
        if "quota" in value or burst is not None:
            raise ConfigurationError(
                f"{setting}['quotas']", value["quotas"], "give quotas, or quota and burst, not both"
            )
        given = value["quotas"]
        if not isinstance(given, list | tuple):
            raise ConfigurationError(f"{setting}['quotas']", given, "a list such as ['5/m:1', '50/h:10']")
        return tuple(_quota(one, None, setting) for one in given)
    if "quota" in value:
        return (_quota(value["quota"], burst, setting),)
    if burst is None and base is not None:
        return base.quotas
    if base is None or len(base.quotas) != 1:
        raise ConfigurationError(setting, dict(value), "a new bucket needs quota and burst, or quotas")
    only = base.quotas[0]
    return (Quota(only.rate, only.period_us, burst, only.name),)  # type: ignore[arg-type]  # Quota checks it


def _quota(value: object, burst: object, setting: str) -> Quota:
    if isinstance(value, Quota):
        return value
    if isinstance(value, Mapping) and {"quota", "burst", "name"}.issuperset(value):
        return Quota.parse(value.get("quota"), value.get("burst"), name=value.get("name"))  # type: ignore[arg-type]
    if burst is not None and (isinstance(burst, bool) or not isinstance(burst, int)):
        raise ConfigurationError(f"{setting}['burst']", burst, "a whole number, at least 1")
    return Quota.parse(value, burst)  # type: ignore[arg-type]  # parse refuses what is no text
