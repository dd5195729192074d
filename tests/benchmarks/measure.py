"""Pairs measured side by side: floor, contender, floor, again and again; the machine's moods cancel out."""

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from statistics import median
from typing import NamedTuple

Work = Callable[[int], object]
"""Does something so many times."""


class Line(NamedTuple):
    """One row of a table; `floor` and `ours` in `unit` for one operation, `ratio` the median over the rounds."""

    what: str
    floor_name: str
    floor: float
    ours: float
    ratio: float
    unit: str


_NS = {"ns": 1.0, "us": 1_000.0, "ms": 1_000_000.0}


def compare(what: str, floor_name: str, floor: Work, ours: Work, number: int, rounds: int, unit: str = "ns") -> Line:
    """Measure one pair."""
    for work in (floor, ours):
        work(max(1, number // 10))
    return summary(what, floor_name, [one_round(floor, ours, number) for _ in range(rounds)], unit)


class Round(NamedTuple):
    """Nanoseconds for one operation: the floor's before and after, in the middle, and the contender's between."""

    floor_ns: float
    ours_ns: float


def summary(what: str, floor_name: str, rounds: Sequence[Round], unit: str = "ns") -> Line:
    """The medians of some rounds."""
    floor, ours = (median(times) / _NS[unit] for times in zip(*rounds, strict=True))
    return Line(what, floor_name, floor, ours, median(one.ours_ns / one.floor_ns for one in rounds), unit)


def one_round(floor: Work, ours: Work, number: int) -> Round:
    """Floor, contender, floor."""
    before, mine, after = (_ns(work, number) for work in (floor, ours, floor))
    return Round((before + after) / 2, mine)


DICT = "dict get + set + clock"


def dict_floor(keys: Sequence[str]) -> Work:
    """The least that any limiter in Python does: read what stands there, and write when it was."""
    kept: dict[str, int] = {}
    endless = cycle(keys)

    def work(number: int) -> None:
        for key in islice(endless, number):
            kept[key] = kept.get(key, 0) + time.monotonic_ns() // 1_000

    return work


def _ns(work: Work, number: int) -> float:
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter_ns()
        work(number)
        return (time.perf_counter_ns() - started) / number
    finally:
        gc.enable()


def table(lines: Iterable[Line]) -> str:
    """The lines in Markdown."""
    rows = ["| what | ours | floor | ratio | the floor is |", "|---|--:|--:|--:|---|"]
    for line in lines:
        ours, floor = (f"{value:,.0f} {line.unit}" for value in (line.ours, line.floor))
        rows.append(f"| {line.what} | {ours} | {floor} | {line.ratio:.2f} | {line.floor_name} |")
    return "\n".join(rows)
