"""What a bucket would have done to traffic, for people and for programs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ratelimit_core.buckets import Bucket
from ratelimit_core.quota import Quota
from ratelimit_core.simulate.replaying import Arrival, Replayed, curve, needed_bursts, replay
from ratelimit_core.simulate.suggesting import Suggestion, outliers, suggest
from ratelimit_core.simulate.traffic import Traffic

_WORST = 10
_STEPS = (1, 2, 3, 5, 7)
_LONGEST_NAME = 60

Report = dict[str, Any]


def report(traffic: Traffic, bucket: Bucket, most_touched: float) -> Report:
    """Everything in JSON's types; each quota of several is also looked at by itself."""
    found = replay(traffic.arrivals, bucket.quotas)
    needed = [needed_bursts(traffic.arrivals, quota) for quota in bucket.quotas]
    ends = (traffic.arrivals[0].at_us, traffic.arrivals[-1].at_us) if traffic.arrivals else ()
    return {
        "lines": traffic.lines,
        "malformed": traffic.malformed,
        "left_out": traffic.left_out,
        "from": _moment(ends[0]) if ends else None,
        "until": _moment(ends[1]) if ends else None,
        "quotas": [str(quota) for quota in bucket.quotas],
        **_counts(found),
        "worst": _worst(found, needed),
        "each": [
            _of_quota(traffic.arrivals, quota, needs, most_touched)
            for quota, needs in zip(bucket.quotas, needed, strict=True)
        ],
    }


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat()


def _counts(found: Replayed) -> Report:
    return {
        "requests": found.requests,
        "identities": found.identities,
        "refused": found.refused,
        "refused_share": _share(found.refused, found.requests),
        "touched": found.touched,
        "touched_share": _share(found.touched, found.identities),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _worst(found: Replayed, needed: Sequence[Mapping[str, int]]) -> list[Report]:
    """Who is refused most; then who needs the largest bursts."""

    def order(identity: str) -> tuple[int, int, str]:
        return -found.refused_by.get(identity, 0), -max(needs[identity] for needs in needed), identity

    return [
        {
            "identity": identity,
            "requests": found.requests_by[identity],
            "refused": found.refused_by.get(identity, 0),
            "needed_bursts": [needs[identity] for needs in needed],
        }
        for identity in sorted(found.requests_by, key=order)[:_WORST]
    ]


def _of_quota(arrivals: Sequence[Arrival], quota: Quota, needed: Mapping[str, int], most_touched: float) -> Report:
    smallest = max(needed.values(), default=1)
    aside = outliers(arrivals, quota)
    return {
        "quota": str(quota),
        "smallest_burst": smallest,
        "curve": [{"burst": burst, **_counts(at)} for burst, at in curve(arrivals, quota, _bursts(smallest))],
        "suggestion": _suggestion(suggest(arrivals, quota, most_touched)),
        "outliers": aside,
        "suggestion_without_outliers": _suggestion(suggest(arrivals, quota, most_touched, aside)) if aside else None,
    }


def _bursts(smallest: int) -> Iterator[int]:
    """A ladder up to the burst that refuses nothing."""
    scale = 1
    while True:
        for step in _STEPS:
            if step * scale >= smallest:
                yield smallest
                return
            yield step * scale
        scale *= 10


def _suggestion(found: Suggestion | None) -> Report | None:
    if found is None:
        return None
    return {
        "quota": str(found.quota),
        "touched": found.touched,
        "touched_share": _share(found.touched, found.identities),
        "worst": found.worst,
        "worst_before": found.worst_before,
        "worst_after": found.worst_after,
    }


def text(found: Report, most_touched: float) -> Iterator[str]:
    """The same for people."""
    yield (
        f"{found['lines']:,} lines: {found['requests']:,} requests of {found['identities']:,} identities, "
        f"{found['left_out']:,} left out, {found['malformed']:,} malformed"
    )
    if not found["requests"]:
        return
    yield f"from {found['from']} until {found['until']}\n"
    yield (
        f"{' with '.join(found['quotas'])} refuses {found['refused']:,} requests ({found['refused_share']:.2%}) "
        f"and touches {found['touched']:,} identities ({found['touched_share']:.2%})\n"
    )
    rows = [("who is refused most", "requests", "refused", "needs burst")]
    rows += [(shown(one["identity"]), *_figures(one)) for one in found["worst"]]
    yield from _table(rows)
    for one in found["each"]:
        yield ""
        yield from _quota_text(one, most_touched)


def _figures(one: Report) -> tuple[str, str, str]:
    return f"{one['requests']:,}", f"{one['refused']:,}", ", ".join(f"{need:,}" for need in one["needed_bursts"])


def _quota_text(one: Report, most_touched: float) -> Iterator[str]:
    rate = one["quota"].partition(":")[0]
    rows = [(f"{rate} with burst", "refused", "touched")]
    rows += [(f"{at['burst']:,}", f"{at['refused']:,}", f"{at['touched']:,}") for at in one["curve"]]
    yield from _table(rows)
    yield f"{rate} refuses nothing from burst {one['smallest_burst']:,} on"
    few = f"fewer than {most_touched * 100:g} % of identities"
    yield f"{_suggested(one['suggestion'], few)}"
    if one["outliers"]:
        names = ", ".join(map(shown, one["outliers"][:_WORST]))
        yield f"no burst that makes sense contents {len(one['outliers']):,} of them, more likely loops: {names}"
        yield f"without these: {_suggested(one['suggestion_without_outliers'], few)}"


def _suggested(found: Report | None, few: str) -> str:
    if found is None:
        return f"nothing sensible touches {few}"
    return (
        f"{found['quota']} touches {found['touched']:,} ({found['touched_share']:.2%}; {few} are meant) and admits "
        f"{found['worst_after']:,} of {found['worst_before']:,} requests of {shown(found['worst'])}"
    )


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join((first.ljust(widths[0]), *cells))


def shown(name: str) -> str:
    """A name from a log, fit for a terminal: no control characters, no end of line, not too long."""
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in name)
    return safe if len(safe) <= _LONGEST_NAME else f"{safe[: _LONGEST_NAME - 1]}…"
