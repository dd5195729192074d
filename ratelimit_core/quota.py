"""A quota: so many units a period, so many of them back to back."""

import re
from dataclasses import dataclass, field

from ratelimit_core.errors import ConfigurationError

_UNITS_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_QUOTA = re.compile(r"\s*([0-9]{1,15})\s*/\s*([0-9]{0,9})\s*([smhd])\s*(?::\s*([0-9]{1,15})\s*)?")
_DURATION = re.compile(r"\s*([0-9]{1,15})\s*(ms|s|m|h|d)?\s*")
_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")
_READABLE = "write rate/period:burst, such as '60/m:10', '5/30s:1' or '1000/h:50' (periods: s, m, h, d)"
_TOLERANCE_LIMIT_US = 1 << 51


@dataclass(frozen=True, slots=True)
class Quota:
    """`rate` units per `period_us` microseconds, at most `burst` of them back to back from idle.

    Raises ConfigurationError where the arithmetic of `ratelimit_core.gcra` could not keep the promise: an emission
    interval under a microsecond, a rounding of it that changes the rate by more than 1 %, or a tolerance of 2^51
    microseconds or more.

    `interval_us` is the emission interval T, rounded up; `tolerance_us` the tolerance tau = T x burst.
    """

    rate: int
    period_us: int
    burst: int
    name: str | None = None
    interval_us: int = field(init=False, repr=False, compare=False)
    tolerance_us: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("rate", "period_us", "burst"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"quota {name}", value, "a whole number, at least 1")
        object.__setattr__(self, "interval_us", -(-self.period_us // self.rate))
        object.__setattr__(self, "tolerance_us", self.interval_us * self.burst)
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ConfigurationError("quota name", self.name, "lower-case letters, digits and _, at most 32")
        if self.period_us < self.rate:
            raise ConfigurationError("quota rate", self.rate, "at most one unit per microsecond")
        if (self.interval_us * self.rate - self.period_us) * 100 > self.period_us:
            raise ConfigurationError(
                "quota rate", self.rate, "whole microseconds between units would change this rate by more than 1 %"
            )
        if self.tolerance_us >= _TOLERANCE_LIMIT_US:
            raise ConfigurationError(
                "quota burst", self.burst, "burst x period / rate must stay under 2^51 microseconds (71 years)"
            )

    def __str__(self) -> str:
        """As `parse` reads it: `60/m:10`; a period that is no whole seconds, which only code can say, in us."""
        for unit in ("d", "h", "m", "s"):
            count, rest = divmod(self.period_us, _UNITS_US[unit])
            if not rest:
                return f"{self.rate}/{'' if count == 1 else count}{unit}:{self.burst}"
        return f"{self.rate}/{self.period_us}us:{self.burst}"

    @property
    def label(self) -> str:
        """The explicit name, or the period: `60s`."""
        if self.name is not None:
            return self.name
        for unit in ("s", "ms"):
            if self.period_us % _UNITS_US[unit] == 0:
                return f"{self.period_us // _UNITS_US[unit]}{unit}"
        return f"{self.period_us}us"

    @classmethod
    def parse(cls, text: str, burst: int | None = None, *, name: str | None = None) -> "Quota":
        """Read `"60/m:10"`, or `"60/m"` with `burst=10`; raise ConfigurationError for anything else."""
        match = _QUOTA.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ConfigurationError("quota", text, _READABLE)
        rate, count, unit, inline = match.groups()
        if inline is not None and burst is not None and int(inline) != burst:
            raise ConfigurationError("quota", text, f"burst is given twice, here and as burst = {burst}; give it once")
        if inline is None and burst is None:
            raise ConfigurationError("quota", text, f"a burst is required; {_READABLE}")
        chosen = burst if inline is None else int(inline)
        return cls(int(rate), int(count or 1) * _UNITS_US[unit], chosen, name)  # type: ignore[arg-type]  # one is set


def parse_duration(value: object, setting: str) -> int:
    """Read `"30s"`, `"24h"` or a number of seconds as microseconds; `setting` names it in the error."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        return int(match[1]) * _UNITS_US[match[2] or "s"]
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _TOLERANCE_LIMIT_US:
        return round(value * 1_000_000)
    raise ConfigurationError(setting, value, "write '500ms', '30s', '15m', '24h', '7d' or a number of seconds")
