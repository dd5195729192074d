"""From raw settings and environment variables to values; every error names the setting and what is accepted."""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
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
    buckets: Mapping[str, object] | None = None
    shadow_flags: Mapping[str, bool] = field(default_factory=dict)


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
    buckets: Mapping[str, object] | None = None
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
    for alias, name in _ALIASES.items():
        if alias in given and given.get(name, given[alias]) != given[alias]:
            raise ConfigurationError(alias, given[alias], f"{name} means the same and is set differently; keep one")
    return {_ALIASES.get(name, name): value for name, value in given.items()}


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
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError, too
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
    try:
        return Rule(**value)
    except ConfigurationError as error:
        raise error.within(setting) from None


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

ATTRIBUTES: Mapping[str, str] = MappingProxyType({name: keyword for name, (keyword, _) in _READERS.items()})
"""Every flat setting, with the attribute of `Config` that it becomes."""


def canonical_name(setting: str) -> str:
    """The name that an accepted alias stands for."""
    return _ALIASES.get(setting, setting)


def _bucket(name: str, value: object, base: Bucket | None) -> Bucket:
    if isinstance(value, Bucket) and value.name == name:
        return value
    setting = f"RATE_LIMIT_BUCKETS['{name}']"
    if not isinstance(value, Mapping):
        raise ConfigurationError(setting, value, "a dict of the bucket's fields")
    known = {one.name for one in fields(Bucket) if one.init} - {"name"}
    values: dict[str, object] = {} if base is None else {one: getattr(base, one) for one in known - {"quota"}}
    try:
        values["quotas"] = _quotas(value, base)
    except ConfigurationError as error:
        raise error.within(setting) from None
    for field_name, raw in value.items():
        if field_name in ("quota", "quotas", "burst"):
            continue
        target = f"{field_name}_us" if field_name in _DURATIONS else field_name
        if target not in known or (target.endswith("_us") and target == field_name):
            raise ConfigurationError(f"{setting}['{field_name}']", raw, "no such field; known are " + _names(known))
        values[target] = _field(field_name, raw, f"{setting}['{field_name}']")
    try:
        return Bucket(name, **values)  # type: ignore[arg-type]  # Bucket itself checks every value
    except ConfigurationError as error:
        raise error.within("RATE_LIMIT_BUCKETS") from None


def _names(known: set[str]) -> str:
    return ", ".join(sorted(one.removesuffix("_us") for one in known | {"burst"}))


def _field(name: str, raw: object, setting: str) -> object:
    if name in _DURATIONS and raw is not None:
        return parse_duration(raw, setting)
    return parse_bool(raw, setting) if name in _FLAGS else raw


def _quotas(value: Mapping[str, object], base: Bucket | None) -> Sequence[Quota]:
    burst = value.get("burst")
    if "quotas" in value:
        given = value["quotas"]
        if "quota" in value or burst is not None:
            raise ConfigurationError("quotas", given, "give quotas, or quota and burst, not both")
        if not isinstance(given, list | tuple):
            raise ConfigurationError("quotas", given, "a list such as ['5/m:1', '50/h:10']")
        return tuple(_quota(one, None) for one in given)
    if "quota" in value:
        return (_quota(value["quota"], burst),)
    if base is None:
        raise ConfigurationError("quota", None, "a new bucket needs quota and burst, or quotas")
    if burst is None:
        return base.quotas
    if len(base.quotas) != 1:
        raise ConfigurationError("burst", burst, "the bucket has several quotas; give quotas")
    return (replace(base.quotas[0], burst=burst),)  # type: ignore[arg-type]  # Quota checks it


def _quota(value: object, burst: object) -> Quota:
    if isinstance(value, Quota):
        if burst is not None:
            raise ConfigurationError("burst", burst, "the quota given has a burst of its own; give one of them")
        return value
    if isinstance(value, Mapping) and {"quota", "burst", "name"}.issuperset(value):
        return Quota.parse(value.get("quota"), value.get("burst"), name=value.get("name"))  # type: ignore[arg-type]
    return Quota.parse(value, burst)  # type: ignore[arg-type]  # parse refuses what is no text, Quota a wrong burst
