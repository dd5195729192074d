"""Charts: well-formed SVG that says what it shows, of nothing, of one point and of fourteen days."""

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ratelimit_gcra.dashboard.charts import Frame, Layer, Line, Mark, bars, curve
from tests.foreign_texts import NASTY

SINCE = datetime(2026, 3, 1, 9, 7, tzinfo=UTC)
FRAME = Frame("read", "Requests to read", "Highest 40 a minute")


def parsed(figure: str) -> ET.Element:
    """The figure as XML; fails when it is none."""
    return ET.fromstring(figure)  # noqa: S314 - our own


def of(figure: str, tag: str) -> list[ET.Element]:
    return list(parsed(figure).iter(tag))


def chart(*layers: Layer, span: timedelta = timedelta(hours=1), frame: Frame = FRAME) -> str:
    number = len(layers[0].values)
    starts = [SINCE + index * span / max(1, number) for index in range(number)]
    return bars(frame, starts, layers, SINCE, SINCE + span)


def test_a_chart_is_a_picture_with_a_title_and_a_description() -> None:
    root = parsed(chart(Layer("passed", "passed", [1, 2])))
    (svg,) = root.iter("svg")
    assert svg.get("role") == "img"
    named = {one.get("id"): one.text for one in svg if one.get("id")}
    assert [named[name] for name in svg.get("aria-labelledby", "").split()] == [FRAME.title, FRAME.desc]


def test_every_bar_says_its_numbers() -> None:
    figure = chart(Layer("passed", "passed", [1_200, 0]), Layer("blocked", "blocked", [3, 0]))
    (group,) = of(figure, "g")
    assert group[0].text == "01 Mar 09:07: 1,200 passed, 3 blocked"
    assert [part.get("class") for part in group[1:]] == ["rl-passed", "rl-blocked"]


def test_layers_stand_on_each_other() -> None:
    (_, low, high) = of(chart(Layer("a", "a", [4]), Layer("b", "b", [4])), "g")[0]
    assert float(high.get("y", "")) + float(high.get("height", "")) == pytest.approx(float(low.get("y", "")))
    assert low.get("height") == high.get("height")


def test_one_refusal_among_a_million_is_seen() -> None:
    (_, _, refused) = of(chart(Layer("passed", "passed", [1_000_000]), Layer("blocked", "blocked", [1])), "g")[0]
    assert float(refused.get("height", "")) >= 2


@pytest.mark.parametrize("layers", [[Layer("passed", "passed", [])], [Layer("passed", "passed", [0] * 60)]])
def test_nothing_is_said_to_be_nothing(layers: list[Layer]) -> None:
    figure = chart(*layers)
    assert "Nothing recorded" in figure
    assert of(figure, "rect") == []


def test_one_point_is_no_wall() -> None:
    (bar,) = of(chart(Layer("passed", "passed", [5])), "rect")
    assert float(bar.get("width", "")) <= 28


def test_fourteen_days_have_dates_that_do_not_touch() -> None:
    figure = chart(Layer("passed", "passed", list(range(60))), span=timedelta(days=14))
    below = [one for one in of(figure, "text") if one.get("class") == "rl-below"]
    assert below[0].text == "02 Mar"
    places = [float(one.get("x", "")) for one in below]
    assert all(right - left > 60 for left, right in pairwise(places))


def test_times_are_those_of_the_reader() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    since = SINCE.astimezone(zone)
    figure = bars(FRAME, [since], [Layer("passed", "passed", [1])], since, since + timedelta(hours=1))
    texts = [one.text for one in of(figure, "text") if one.get("class") == "rl-below"]
    assert texts[0] == "14:40"
    assert "01 Mar 14:37" in figure


def test_a_curve_has_a_dot_and_a_word_for_every_number() -> None:
    lines = [
        Line("of identities", "would", [(1, 0.5), (2, 0.25), (4, 0)]),
        Line("of requests", "blocked", [(1, 0.1), (2, 0)]),
    ]
    figure = curve(FRAME, lines, [Mark(2, "now"), Mark(99, "outside")], "burst")
    assert [one[0].text for one in of(figure, "circle")][:3] == [
        "burst 1: 50 % of identities",
        "burst 2: 25 % of identities",
        "burst 4: 0 % of identities",
    ]
    assert "now" in figure
    assert "outside" not in figure


def test_a_curve_of_one_point_and_of_none() -> None:
    assert len(of(curve(FRAME, [Line("of requests", "would", [(3, 0.0)])], [Mark(3, "now")]), "circle")) == 1
    assert "Nothing recorded" in curve(FRAME, [Line("of requests", "would", [])])


@pytest.mark.parametrize("text", NASTY)
def test_foreign_text_stays_text(text: str) -> None:
    frame = Frame("read", text, text)
    for figure in (chart(Layer(text, "passed", [1]), frame=frame), curve(frame, [Line(text, "would", [(1, 1)])])):
        root = parsed(figure)
        known = {"figure", "svg", "title", "desc", "line", "text", "g", "rect", "figcaption", "span"}
        assert {one.tag for one in root.iter()} <= known | {"polyline", "circle"}
        assert not re.search(r" (on\w+|style)=", re.sub(r">[^<]*<", "><", figure))
        assert len(figure) < 30_000


@given(
    values=st.lists(st.integers(min_value=0, max_value=10**15), max_size=80),
    hours=st.integers(min_value=1, max_value=24 * 60),
)
def test_whatever_is_counted_stays_in_the_frame(values: list[int], hours: int) -> None:
    figure = chart(Layer("passed", "passed", values), Layer("blocked", "blocked", values), span=timedelta(hours=hours))
    for one in of(figure, "rect"):
        x, y, width, height = (float(one.get(name, "")) for name in ("x", "y", "width", "height"))
        assert 0 <= y <= y + height <= FRAME.height
        assert 0 <= x <= x + width <= FRAME.width + width


@given(st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1)), max_size=40, unique_by=lambda point: point[0]))
def test_whatever_is_estimated_stays_in_the_frame(points: list[tuple[int, float]]) -> None:
    for one in of(curve(FRAME, [Line("of identities", "would", sorted(points))]), "circle"):
        assert 0 <= float(one.get("cy", "")) <= FRAME.height
        assert 0 <= float(one.get("cx", "")) <= FRAME.width
