"""Whatever is drawn, nothing that matters vanishes."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clio_argo.report.html import environment
from clio_argo.report.plots import (
    HEIGHT,
    WIDTH,
    Curve,
    Mark,
    Plot,
    Sample,
    Series,
    decimate,
    medians,
    path,
    ticks,
    value_axis,
)

VALUES = st.floats(-1e9, 1e9)
COLUMNS = 30
TEMPLATE = environment().get_template("svg.html.j2")


def draw(curve: Curve, z: tuple[int, int], marks: Sequence[Mark] = ()) -> str:
    """The plot as the page has it."""
    return str(TEMPLATE.module.plot(Plot(z, marks, curve)))


@st.composite
def crowds(draw: st.DrawFn) -> list[Sample]:
    """Many samples, gaps among them, over few columns of a pixel."""
    values = draw(st.lists(st.one_of(st.none(), VALUES), min_size=1, max_size=400))
    return [(i * COLUMNS / len(values), v) for i, v in enumerate(values)]


def _columns(points: list[Sample]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for x, y in points:
        if y is not None:
            found.setdefault(int(x), []).append(y)
    return found


@given(crowds())
def test_decimation_keeps_every_outlier(points: list[Sample]) -> None:
    before, after = _columns(points), _columns(decimate(points))
    assert before.keys() == after.keys()
    for column, values in before.items():
        kept = after[column]
        assert (min(kept), max(kept)) == (min(values), max(values))
        assert (kept[0], kept[-1]) == (values[0], values[-1])
        assert len(kept) <= 4


@given(crowds())
def test_decimation_keeps_order_and_gaps_between_columns(points: list[Sample]) -> None:
    drawn = decimate(points)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    known = [i for i, (_, y) in enumerate(points) if y is not None]
    crossed = {int(points[a][0]) for a, b in pairwise(known) if b > a + 1 and int(points[a][0]) != int(points[b][0])}
    gaps = [i for i, (_, y) in enumerate(drawn) if y is None and i > 0]
    assert {int(drawn[i - 1][0]) for i in gaps} == crossed


@given(crowds())
def test_medians_lie_within_the_range_of_their_column(points: list[Sample]) -> None:
    columns = _columns(points)
    for x, middle in medians(points):
        values = columns.get(int(x), [])
        assert (middle is None) == (not values)
        assert middle is None or min(values) <= middle <= max(values)


def test_a_lone_sample_is_a_dot_and_a_gap_lifts_the_pen() -> None:
    assert path([(0, 1.0), (1, 2.0), (2, None), (3, 4.0)]) == "M0.0 1.0h0L1.0 2.0M3.0 4.0h0"


@given(st.lists(VALUES, max_size=5), st.lists(VALUES, max_size=2))
def test_all_values_lie_on_the_paper(values: list[float], include: list[float]) -> None:
    axis = value_axis([Series("s", list(enumerate(values)))], include)
    assert all(0 <= axis(v) <= HEIGHT for v in values + include)


@given(VALUES, st.floats(1e-6, 1e9), st.integers(2, 10))
def test_ticks_are_few_and_inside(low: float, length: float, wanted: int) -> None:
    high = low + max(length, abs(low) * 1e-6)
    found = ticks(low, high, wanted)
    assert 1 <= len(found) <= wanted + 1
    assert all(low - length * 1e-6 - abs(low) * 1e-9 <= t <= high + length * 1e-6 + abs(high) * 1e-9 for t in found)


def test_slice_numbers_are_whole() -> None:
    assert ticks(6.5, 9.5, 10, whole=True) == [7, 8, 9]


@given(st.sets(st.integers(0, 19_999), min_size=1, max_size=300))
def test_every_flagged_slice_is_drawn(flagged: set[int]) -> None:
    marks = [Mark("bad", z, f"z {z}") for z in sorted(flagged)]
    svg = ET.fromstring(draw(Curve("Shift", "px", "", ()), (0, 19_999), marks))
    boxes = [(float(r.get("x", "")), float(r.get("width", ""))) for r in svg.iter("rect")]
    for z in flagged:
        centre = (z + 0.5) / 20_000 * WIDTH
        assert any(x - 1 <= centre <= x + width + 1 for x, width in boxes)
    told = sum(int(n) for n in re.findall(r"and (\d+) more", ET.tostring(svg, "unicode")))
    assert told + sum(len((r.findtext("title") or "").splitlines()) for r in svg.iter("rect")) - sum(
        "more here" in (r.findtext("title") or "") for r in svg.iter("rect")
    ) == len(flagged)


def test_a_plot_has_axes_units_and_texts_to_hover_over() -> None:
    series = Series("x shift", [(5, 1.25), (6, None), (7, -3.0)])
    marks = [Mark("unmatched", 5.5, "no match"), Mark("break", 6.5, "break <here>"), Mark("suspect", 6, "blurred")]
    svg = ET.fromstring(draw(Curve("Shift", "px", "", (series,)), (5, 7), marks))
    assert [t.text for t in svg.iter("text")][-2:] == ["px", "z (slice number)"]
    assert {"5", "6", "7"} <= {t.text for t in svg.iter("text")}
    titles = [t.text for t in svg.iter("title")]
    assert titles == ["no match", "break <here>", "blurred", "z 5: x shift 1.25 px", "z 7: x shift -3 px"]


def test_a_long_line_is_light_and_its_outliers_can_be_hovered_over() -> None:
    samples: list[Sample] = [(z, 900.0 if z == 31_000 else z % 7) for z in range(100_000)]
    drawn = draw(Curve("Shift", "px", "", (Series("x shift", samples),)), (0, 99_999))
    assert len(drawn) < 80_000
    assert "<title>z 31000: x shift 900 px</title>" in drawn
