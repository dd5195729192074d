"""Round numbers and round times for the axes of charts."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_STEPS_S = (60, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800)
_DAY_S = 86_400


class Tick(NamedTuple):
    """A mark on an axis: where, from 0 to 1, and what stands beside it."""

    at: float
    text: str


def count_ticks(highest: float, most: int = 4) -> tuple[float, list[Tick]]:
    """The top of an axis from 0 that holds `highest`, and its marks: whole numbers, at most `most` above 0."""
    step = _round_up(max(1.0, highest / most))
    top = step * max(1, math.ceil(highest / step))
    return top, [Tick(index * step / top, compact(index * step)) for index in range(round(top / step) + 1)]


def share_ticks(highest: float) -> tuple[float, list[Tick]]:
    """The same for shares, 0 to 1, written in percent."""
    step = min(0.25, _round_up(max(highest, 0.0004) / 4))
    top = min(1.0, step * max(1, math.ceil(highest / step - 1e-9)))
    steps = round(top / step)
    return top, [Tick(index / steps, percent(index * step)) for index in range(steps + 1)]


def time_ticks(since: datetime, until: datetime, most: int = 8) -> list[Tick]:
    """Round local times between two, in their own time zone."""
    span_s = (until - since).total_seconds()
    step_s = next((step for step in _STEPS_S if span_s / step <= most), _STEPS_S[-1])
    offset_s = (since.utcoffset() or timedelta()).total_seconds()
    first_s = math.ceil((since.timestamp() + offset_s) / step_s) * step_s - offset_s
    found = []
    at_s = first_s
    while at_s < until.timestamp():
        when = datetime.fromtimestamp(at_s, UTC).astimezone(since.tzinfo)
        day = step_s >= _DAY_S or (when.hour, when.minute) == (0, 0)
        found.append(Tick((at_s - since.timestamp()) / span_s, f"{when:%d %b}" if day else f"{when:%H:%M}"))
        at_s += step_s
    return found


def log_position(value: float, values: Sequence[float]) -> float:
    """Where a number stands among positive others, 0 to 1, each doubling as wide as the next."""
    lowest, highest = math.log(min(values)), math.log(max(values))
    return 0.5 if highest == lowest else (math.log(value) - lowest) / (highest - lowest)


def compact(value: float) -> str:
    """A number short enough for an axis: `12.5 k`."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.4g}{unit}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A share in percent; what is there never reads as nothing, and what is not all never as all."""
    if share <= 0:
        return "0 %"
    if share < 0.0001:
        return "< 0.01 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share * 100:.{2 if share < 0.001 else 1 if share < 0.1 else 0}f} %".replace(".0 %", " %")


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50..., or of their tenths."""
    power = float(10 ** math.floor(math.log10(value)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))
