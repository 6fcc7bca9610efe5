"""Curves along z as inline SVG: plain text in, plain text out, colours left to the page's style sheet.

A line with more samples than columns keeps the first, lowest, highest and last sample of each column of one
pixel, which covers the same pixels: no outlier can vanish. It is drawn pale, with the columns' medians in front,
because dense noise hides what it is about. Marks that fall into one column share one element.
Lengths are pixels of the view box; y grows downwards there and upwards in the data.
"""

import itertools
import math
import statistics
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from clio_argo.report.markup import Html, join, tag, void

WIDTH, HEIGHT = 1000.0, 222.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 992.0, 18.0, 170.0
LANE_HEIGHT = 9.0
DOTS_UP_TO = 400
NOTABLE = 5
TEXTS_PER_MARK, LONGEST_TEXT = 2, 80

Sample = tuple[float, float | None]
Xy = tuple[float, float]
Style = Literal["a", "b"]
MarkKind = Literal["jump", "link", "low", "break", "suspect", "missing", "bad"]
# drawn in this order, so that what matters more lies on top
KINDS: tuple[MarkKind, ...] = get_args(MarkKind)
# (top, height) of the strip along z and of the marks in it: a lane for each verdict, so that none hides another
BAR = (20.0, 36.0)
LANES: dict[MarkKind, tuple[float, float]] = {
    "jump": (2, 14), "bad": (20, 12), "missing": (32, 12), "suspect": (44, 12), "link": (60, 8), "low": (70, 8),
    "break": (2, 76),
}  # fmt: skip
STRIP_HEIGHT, NARROWEST = 112.0, 1.6


@dataclass(frozen=True)
class Series:
    """One line: samples (z, value) ordered by z; a value of None interrupts the line."""

    name: str
    samples: Sequence[Sample]
    style: Style = "a"
    joined: bool = True


@dataclass(frozen=True)
class Curve:
    """What one plot shows, the unit of its y axis, and values that this axis must hold."""

    title: str
    unit: str
    caption: str
    series: tuple[Series, ...]
    include: tuple[float, ...] = ()

    @property
    def empty(self) -> bool:
        return all(y is None for s in self.series for _, y in s.samples)


@dataclass(frozen=True)
class Mark:
    """Something that happened at `z`: a slice (in a lane below the lines), a pair (above them), a break or a jump."""

    kind: MarkKind
    z: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A linear map from values in [low, high] to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def plot(curve: Curve, z: tuple[int, int], marks: Iterable[Mark] = ()) -> Html:
    """The curve over the slices z[0] to z[1], both inclusive."""
    across = Axis(z[0] - 0.5, z[1] + 0.5, LEFT, RIGHT)
    up = value_axis(curve.series, curve.include)
    lines = [_line(s, across, up, curve.unit) for s in curve.series]
    return tag(
        "svg",
        *(_frame(across, up, curve.unit), _marks(marks, across), *lines),
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label=f"{curve.title} along z, {z[0]} to {z[1]}",
    )


def decimate(points: Iterable[Sample]) -> list[Sample]:
    """At most four points and one gap per column of one pixel: its first, lowest, highest and last value.

    Points are (pixel, value) ordered by pixel. The gap stays if it lies between two columns, where it can be seen.
    """
    kept: list[Sample] = []
    column: list[Xy] = []
    gap: Sample | None = None
    for x, y in points:
        if y is None:
            gap = (x, None)
            continue
        if column and int(x) != int(column[-1][0]):
            kept += _extremes(column)
            column = []
        if gap and not column:
            kept.append(gap)
        gap = None
        column.append((x, y))
    return kept + _extremes(column)


def medians(points: Iterable[Sample]) -> Iterator[Sample]:
    """The median of each column of one pixel; None for a column without values."""
    for column, same in itertools.groupby(points, lambda p: int(p[0])):
        values = [y for _, y in same if y is not None]
        yield column + 0.5, statistics.median(values) if values else None


def _extremes(column: Sequence[Xy]) -> list[Sample]:
    if len(column) <= 4:
        return list(column)
    by_value = [y for _, y in column]
    indices = {0, by_value.index(min(by_value)), by_value.index(max(by_value)), len(column) - 1}
    return [column[i] for i in sorted(indices)]


def path(points: Iterable[Sample]) -> str:
    """SVG path data of a line that a None interrupts."""
    parts: list[str] = []
    pen = "M"
    for x, y in points:
        if y is not None:
            # a stroke without length is a dot where line ends are round: a lone sample stays visible
            parts.append(f"{pen}{x:.1f} {y:.1f}" + ("h0" if pen == "M" else ""))
        pen = "M" if y is None else "L"
    return "".join(parts)


def value_axis(series: Sequence[Series], include: Sequence[float] = ()) -> Axis:
    """An upward axis that holds all values with a margin of 6 %."""
    values = [y for s in series for _, y in s.samples if y is not None] + list(include)
    low, high = min(values, default=0.0), max(values, default=1.0)
    largest = max(abs(low), abs(high))
    # below a millionth the difference is noise, whose ticks would need more digits than there is room for
    margin = 0.06 * (high - low if high - low > 1e-6 * largest else max(largest, 0.1))
    return Axis(low - margin, high + margin, BOTTOM, TOP)


def ticks(low: float, high: float, wanted: int, whole: bool = False) -> list[float]:
    """Round values within [low, high], about `wanted`; integers only if `whole`."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    step = max(1.0, step) if whole else step
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _frame(across: Axis, up: Axis, unit: str) -> Html:
    levels = ticks(up.low, up.high, 5)
    digits = max(0, -math.floor(math.log10(levels[1] - levels[0]) + 1e-9)) if len(levels) > 1 else 2
    below = BOTTOM + LANE_HEIGHT + 4
    middle = f"rotate(-90 14 {(TOP + BOTTOM) / 2:g})"
    return tag(
        "g",
        *(_level(up(v), f"{v:,.{digits}f}") for v in levels),
        *(_tick(across(v), below, f"{v:.0f}") for v in ticks(across.low, across.high, 10, whole=True)),
        _text(14, (TOP + BOTTOM) / 2, unit, text_anchor="middle", transform=middle),
        _text((LEFT + RIGHT) / 2, HEIGHT - 4, "z (slice number)", text_anchor="middle"),
        class_="frame",
    )


def _level(y: float, label: str) -> Html:
    line = void("path", d=f"M{LEFT:g} {y:.1f}H{RIGHT:g}")
    return join((line, _text(LEFT - 7, y + 4, label.replace("-", "\N{MINUS SIGN}"), text_anchor="end")))


def _tick(x: float, y: float, label: str) -> Html:
    """A tick that begins at y, and the slice number below it."""
    return join((void("path", d=f"M{x:.1f} {y:g}v4"), _text(x, y + 17, label, text_anchor="middle")))


def _text(x: float, y: float, text: str, **attributes: str) -> Html:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", **attributes)


def _line(series: Series, across: Axis, up: Axis, unit: str) -> Html:
    pixels = [(across(z), None if y is None else up(y)) for z, y in series.samples]
    drawn = decimate(pixels)
    dots = (_dot(series, (z, y), (across(z), up(y)), unit) for z, y in notable(series.samples))
    return join((*_strokes(series, pixels, drawn), *dots))


def _strokes(series: Series, pixels: Sequence[Sample], drawn: Sequence[Sample]) -> Iterator[Html]:
    if not series.joined:
        apart = (p for point in drawn for p in (point, (point[0], None)))
        yield void("path", d=path(apart), class_=f"{series.style} dots")
    elif len(pixels) <= RIGHT - LEFT:
        yield void("path", d=path(drawn), class_=f"{series.style} line")
    else:
        yield void("path", d=path(drawn), class_=f"{series.style} range")
        yield void("path", d=path(medians(pixels)), class_=f"{series.style} line")


def notable(samples: Sequence[Sample]) -> list[Xy]:
    """The samples that get a text to hover over: all of a short line, the farthest from the median of a long one."""
    known = [(z, y) for z, y in samples if y is not None]
    if len(known) <= DOTS_UP_TO:
        return known
    middle = statistics.median(y for _, y in known)
    return sorted(known, key=lambda p: (-abs(p[1] - middle), p[0]))[:NOTABLE]


def _dot(series: Series, sample: Xy, centre: Xy, unit: str) -> Html:
    label = tag("title", f"z {sample[0]:.0f}: {series.name} {sample[1]:.4g} {unit}")
    return tag("circle", label, cx=f"{centre[0]:.1f}", cy=f"{centre[1]:.1f}", r="2.2", class_=series.style)


def strip(z: tuple[int, int], marks: Iterable[Mark], targets: Collection[int]) -> Html:
    """All slices from z[0] to z[1] as one bar with the marks in it; those of `targets` lead to `#zN` on the page."""
    across = Axis(z[0] - 0.5, z[1] + 0.5, LEFT, RIGHT)
    width = max(NARROWEST, across(1) - across(0))
    ticks_ = (
        _tick(across(v), STRIP_HEIGHT - 30, f"{v:.0f}")
        for v in ticks(across.low, across.high, 10, whole=True)
    )
    marked = (_in_strip(same, across, width, targets) for same in _by_column(marks, across))
    bar = void(
        "rect", class_="good", x=f"{LEFT:g}", y=f"{BAR[0]:g}", width=f"{RIGHT - LEFT:g}", height=f"{BAR[1]:g}"
    )
    names = (
        _text(LEFT - 7, y, name, text_anchor="end")
        for y, name in ((13, "jumps"), (42, "slices"), (73, "pairs"))
    )
    return tag(
        "svg",
        tag("g", *ticks_, *names, class_="frame"),
        bar,
        *marked,
        viewBox=f"0 0 {WIDTH:g} {STRIP_HEIGHT:g}",
        role="img",
        aria_label=f"verdicts of the slices {z[0]} to {z[1]}",
    )


def _in_strip(same: Sequence[Mark], across: Axis, width: float, targets: Collection[int]) -> Html:
    kind, x = same[0].kind, across(same[0].z)
    of_pair = kind in ("jump", "link", "low", "break")
    text = tag("title", "\n".join(_texts(same)))
    box = _rect(text, kind, (x, NARROWEST if of_pair else width), LANES[kind])
    target = next((m.z for m in same if m.z in targets), None)
    return box if of_pair or target is None else tag("a", box, href=f"#z{target:.0f}")


def _by_column(marks: Iterable[Mark], across: Axis) -> list[list[Mark]]:
    """Marks of one kind within one column of a pixel together, in the order of drawing."""
    columns: dict[tuple[int, int], list[Mark]] = {}
    for mark in marks:
        columns.setdefault((KINDS.index(mark.kind), int(across(mark.z))), []).append(mark)
    return [columns[key] for key in sorted(columns)]


def _marks(marks: Iterable[Mark], across: Axis) -> Html:
    """All marks; those of one kind within one column of a pixel as one element that tells how many they are."""
    width = max(1.6, across(1) - across(0))
    return tag("g", *(_mark(same, across, width) for same in _by_column(marks, across)))


def _mark(same: Sequence[Mark], across: Axis, width: float) -> Html:
    kind, x = same[0].kind, across(same[0].z)
    text = tag("title", "\n".join(_texts(same)))
    if kind in ("break", "jump"):
        return tag("path", text, d=f"M{x:.1f} {TOP:g}V{BOTTOM:g}", class_=kind)
    if kind in ("link", "low"):
        return _rect(text, kind, (x, min(width, 4.0)), (TOP - LANE_HEIGHT - 2, LANE_HEIGHT))
    lower = LANE_HEIGHT / 2 if kind == "suspect" else 0.0
    return _rect(text, kind, (x, width), (BOTTOM + 2 + lower, LANE_HEIGHT - lower))


def _rect(text: Html, style: str, x: Xy, y: Xy) -> Html:
    """A box of (centre, width) and (top, height)."""
    left = max(LEFT, x[0] - x[1] / 2)
    size = {"width": f"{x[1]:.1f}", "height": f"{y[1]:.1f}"}
    return tag("rect", text, x=f"{left:.1f}", y=f"{y[0]:.1f}", class_=style, **size)


def _texts(same: Sequence[Mark]) -> Iterator[str]:
    # hover texts of thousands of marks would outweigh the tables that hold them whole
    told = same if len(same) <= TEXTS_PER_MARK else same[:1]
    yield from (textwrap.shorten(m.text, LONGEST_TEXT, placeholder=" …") for m in told)
    if len(told) < len(same):
        yield f"and {len(same) - len(told)} more here"
