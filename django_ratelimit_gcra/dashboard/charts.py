"""Series as SVG: drawn here, coloured by the style sheet, so that a chart needs no script and no inline style.

A chart is a picture with a title and a description for those who don't see it; each mark has a title of its own, which
browsers show as a tooltip. Texts are escaped here, whatever they are.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from django_ratelimit_gcra.dashboard.legible import legible
from django_ratelimit_gcra.dashboard.scales import Tick, count_ticks, log_position, percent, share_ticks, time_ticks

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 22
_WIDEST_BAR = 28.0
_LEAST_SEEN = 2.0
_LARGE = 720


class Layer(NamedTuple):
    """One part of every bar: its name, the look that the style sheet knows, and a value for each bar."""

    name: str
    look: str
    values: Sequence[int]


class Line(NamedTuple):
    """A curve of shares, 0 to 1, over positive numbers; the points in order."""

    name: str
    look: str
    points: Sequence[tuple[float, float]]


class Mark(NamedTuple):
    """An upright line at a number, with a word beside it."""

    at: float
    text: str


class Frame(NamedTuple):
    """What a chart says of itself, and its size. `key` is unique on its page: letters, digits, - and _."""

    key: str
    title: str
    desc: str
    width: int = 720
    height: int = 180

    @property
    def plot_width(self) -> int:
        """Between the axis and the right edge."""
        return self.width - _LEFT - _RIGHT

    @property
    def plot_height(self) -> int:
        """Between the top and the axis."""
        return self.height - _TOP - _BOTTOM

    def x(self, share: float) -> float:
        """A place from left to right."""
        return round(_LEFT + share * self.plot_width, 1)

    def y(self, share: float) -> float:
        """A place from the axis up."""
        return round(_TOP + (1 - share) * self.plot_height, 1)


def bars(
    frame: Frame, starts: Sequence[datetime], layers: Sequence[Layer], since: datetime, until: datetime
) -> SafeString:
    """Stacked bars over time, the first layer lowest; `starts` are the bars' left edges, in the reader's time zone."""
    totals = [sum(values) for values in zip(*(layer.values for layer in layers), strict=True)]
    top, ticks = count_ticks(max(totals, default=0))
    inner = _empty(frame) if not any(totals) else _stacks(frame, starts, layers, top, since, until)
    return _figure(frame, _axes(frame, ticks, time_ticks(since, until)) + inner, layers)


def curve(frame: Frame, lines: Sequence[Line], marks: Iterable[Mark] = (), axis: str = "") -> SafeString:
    """Curves of shares over numbers that grow by doubling; `axis` says what the numbers are."""
    numbers = sorted({at for line in lines for at, _ in line.points})
    if not numbers:
        return _figure(frame, _axes(frame, share_ticks(0)[1], []) + _empty(frame), lines)
    top, ticks = share_ticks(max(share for line in lines for _, share in line.points))
    below = [Tick(log_position(number, numbers), f"{number:g}") for number in _spread(numbers)]
    drawn = [_line(frame, line, numbers, top, axis) for line in lines]
    marked = [_mark(frame, mark, numbers) for mark in marks if numbers[0] <= mark.at <= numbers[-1]]
    return _figure(frame, _axes(frame, ticks, below) + _joined(marked) + _joined(drawn), lines)


def _figure(frame: Frame, inner: SafeString, named: Sequence[Layer | Line]) -> SafeString:
    return format_html(
        '<figure class="rl-chart"><svg class="{7}" viewBox="0 0 {0} {1}" role="img" '
        'aria-labelledby="{2}-title {2}-desc">'
        '<title id="{2}-title">{3}</title><desc id="{2}-desc">{4}</desc>{5}</svg><figcaption>{6}</figcaption></figure>',
        frame.width,
        frame.height,
        frame.key,
        legible(frame.title),
        legible(frame.desc),
        inner,
        format_html_join("", '<span class="rl-key rl-{}">{}</span>', [(one.look, legible(one.name)) for one in named]),
        "rl-large" if frame.width > _LARGE else "rl-small",
    )


def _axes(frame: Frame, left: Iterable[Tick], below: Iterable[Tick]) -> SafeString:
    """Horizontal lines with their numbers, and what stands below them."""
    end = frame.x(1)
    upright = (
        '<line class="rl-grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text class="rl-left" x="{3}" y="{4}">{5}</text>'
    )
    rows = [(_LEFT, end, y, _LEFT - 6, y + 4, tick.text) for tick in left for y in (frame.y(tick.at),)]
    level = '<text class="rl-below" x="{}" y="{}">{}</text>'
    columns = [(frame.x(tick.at), frame.height - 6, tick.text) for tick in below]
    return format_html_join("", upright, rows) + format_html_join("", level, columns)


def _stacks(
    frame: Frame, starts: Sequence[datetime], layers: Sequence[Layer], top: float, since: datetime, until: datetime
) -> SafeString:
    span_s = (until - since).total_seconds()
    slot = frame.plot_width / max(1, len(starts))
    width = round(max(1.0, min(_WIDEST_BAR, slot - (1 if slot > 3 else 0))), 1)
    stacks = []
    for index, start in enumerate(starts):
        left = frame.x((start - since).total_seconds() / span_s)
        values = [layer.values[index] for layer in layers]
        if any(values):
            parts = _stack(frame, layers, values, top, left, width)
            said = ", ".join(f"{value:,} {layer.name}" for layer, value in zip(layers, values, strict=True))
            stacks.append(format_html("<g><title>{}: {}</title>{}</g>", f"{start:%d %b %H:%M}", legible(said), parts))
    return _joined(stacks)


def _stack(
    frame: Frame, layers: Sequence[Layer], values: Sequence[int], top: float, left: float, width: float
) -> SafeString:
    """One bar. What happened at all is seen, however small it is beside the rest."""
    rows = []
    foot = frame.y(0)
    for layer, value in zip(layers, values, strict=True):
        if value:
            height = round(max(_LEAST_SEEN, value / top * frame.plot_height), 1)
            foot = round(max(foot - height, 0.0), 1)
            rows.append((layer.look, left, foot, width, height))
    return format_html_join("", '<rect class="rl-{}" x="{}" y="{}" width="{}" height="{}"/>', rows)


def _line(frame: Frame, line: Line, numbers: Sequence[float], top: float, axis: str) -> SafeString:
    places = [(frame.x(log_position(at, numbers)), frame.y(share / top)) for at, share in line.points]
    path = " ".join(f"{x},{y}" for x, y in places)
    said = [f"{axis} {at:g}: {percent(share)} {line.name}" for at, share in line.points]
    dots = [(line.look, x, y, legible(text)) for (x, y), text in zip(places, said, strict=True)]
    dot = '<circle class="rl-{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>'
    drawn = format_html('<polyline class="rl-line rl-{}" points="{}"/>', line.look, path)
    return drawn + format_html_join("", dot, dots)


def _mark(frame: Frame, mark: Mark, numbers: Sequence[float]) -> SafeString:
    share = log_position(mark.at, numbers)
    x = frame.x(share)
    side = "rl-before" if share > 0.7 else "rl-after"
    line = '<line class="rl-mark" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/><text class="{3}" x="{4}" y="{5}">{6}</text>'
    beside = x - 5 if share > 0.7 else x + 5
    return format_html(line, x, frame.y(1), frame.y(0), side, beside, frame.y(1) + 9, legible(mark.text))


def _empty(frame: Frame) -> SafeString:
    return format_html('<text class="rl-none" x="{}" y="{}">Nothing recorded</text>', frame.x(0.5), frame.y(0.5))


def _spread(numbers: Sequence[float], least: float = 0.05) -> list[float]:
    """Those of the numbers whose labels don't touch; the last one always."""
    chosen: list[float] = []
    for number in reversed(numbers):
        if not chosen or log_position(chosen[-1], numbers) - log_position(number, numbers) >= least:
            chosen.append(number)
    return chosen[::-1]


def _joined(parts: Iterable[SafeString]) -> SafeString:
    return mark_safe("".join(parts))  # noqa: S308 - every part is safe already
