"""Geometry of the report's plots along z; the template `svg.html.j2` draws them as inline SVG.

A line with more samples than columns keeps the first, lowest, highest and last sample of each column of one
pixel, which covers the same pixels: no outlier can vanish. It is drawn pale, with the columns' medians in front,
because dense noise hides what it is about. Marks that fall into one column share one box.
Lengths are pixels of the view box, whose origin is the top left corner of the plotted area: x grows to the
right, y downwards, and upwards in the data.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, get_args

# The plotted area: with the margins of the template the 1,000 pixels that the page is wide.
WIDTH, HEIGHT = 926, 152
# A narrower box is hard to see and to point at; wider ones of pairs would touch in short stacks.
NARROWEST, WIDEST_PAIR = 1.6, 4.0
# Dots on every sample of a longer line touch each other and make the page heavy.
DOTS_UP_TO, DOTS_OF_LONG_LINE = 400, 5

Sample = tuple[float, float | None]
Xy = tuple[float, float]
Style = Literal["a", "b"]
MarkKind = Literal["jump", "unmatched", "outlier", "break", "suspect", "missing", "bad"]
Lanes = dict[MarkKind, tuple[float, float]]
# drawn in this order, so that what matters more lies on top
KINDS: tuple[MarkKind, ...] = get_args(MarkKind)


@dataclass(frozen=True)
class Series:
    """One line: samples (z, value) ordered by z; a value of None interrupts the line."""

    name: str
    samples: Sequence[Sample]
    style: Style = "a"
    joined: bool = True

    @property
    def dots(self) -> list[Xy]:
        """The samples that get a dot with a text: all of a short line, the farthest from the median of a long one."""
        known = [(z, y) for z, y in self.samples if y is not None]
        if len(known) <= DOTS_UP_TO:
            return known
        middle = statistics.median(y for _, y in known)
        return sorted(known, key=lambda p: (-abs(p[1] - middle), p[0]))[:DOTS_OF_LONG_LINE]


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
        """Whether no sample has a value."""
        return all(y is None for s in self.series for _, y in s.samples)


@dataclass(frozen=True)
class Mark:
    """Something that happened at `z`, to a slice or between two; `card`: the page has a card of the slice, `#zN`."""

    kind: MarkKind
    z: float
    text: str
    card: bool = False


class Box(NamedTuple):
    """Marks of one kind within one column, and the rectangle that stands for them."""

    kind: MarkKind
    x: float
    y: float
    width: float
    height: float
    marks: list[Mark]


@dataclass(frozen=True)
class Axis:
    """A linear map from values in [low, high] to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Strip:
    """The slices z[0] to z[1], both inclusive, as one bar with the marks in it."""

    z: tuple[int, int]
    marks: Sequence[Mark]
    width: ClassVar[int] = WIDTH
    # (top, height): a lane for each verdict, so that none hides another
    lanes: ClassVar[Lanes] = {
        "jump": (2, 14), "bad": (20, 12), "missing": (32, 12), "suspect": (44, 12), "unmatched": (60, 8),
        "outlier": (70, 8), "break": (2, 76),
    }  # fmt: skip

    @cached_property
    def across(self) -> Axis:
        """The axis of slice numbers; a slice is as wide as the distance of two."""
        return Axis(self.z[0] - 0.5, self.z[1] + 0.5, 0, WIDTH)

    @property
    def ticks(self) -> list[float]:
        """The slice numbers that are written."""
        return ticks(self.across.low, self.across.high, 10, whole=True)

    @property
    def boxes(self) -> Iterator[Box]:
        """All marks, in the order of drawing; those of one kind within one column of a pixel as one box."""
        columns: dict[tuple[int, int], list[Mark]] = {}
        for mark in self.marks:
            columns.setdefault((KINDS.index(mark.kind), int(self.across(mark.z))), []).append(mark)
        return (self._box(columns[key]) for key in sorted(columns))

    def _box(self, marks: list[Mark]) -> Box:
        kind, width = marks[0].kind, max(NARROWEST, self.across(1) - self.across(0))
        if kind not in ("bad", "missing", "suspect"):
            width = min(width, WIDEST_PAIR)
        top, height = self.lanes[kind]
        return Box(kind, max(0.0, self.across(marks[0].z) - width / 2), top, width, height, marks)


@dataclass(frozen=True)
class Plot(Strip):
    """A curve over the slices, with the marks of pairs above it and those of slices below it."""

    curve: Curve
    height: ClassVar[int] = HEIGHT
    lanes: ClassVar[Lanes] = {
        "jump": (0, HEIGHT), "break": (0, HEIGHT), "unmatched": (-11, 9), "outlier": (-11, 9),
        "suspect": (HEIGHT + 6.5, 4.5), "missing": (HEIGHT + 2, 9), "bad": (HEIGHT + 2, 9),
    }  # fmt: skip

    @cached_property
    def up(self) -> Axis:
        """The axis of values."""
        return value_axis(self.curve.series, self.curve.include)

    @property
    def levels(self) -> list[tuple[float, str]]:
        """The values that are written, as (y, text)."""
        return levels(self.up)

    def strokes(self, series: Series) -> Iterator[tuple[str, str]]:
        """The paths that draw a line, as (class, path data)."""
        pixels = [(self.across(z), None if y is None else self.up(y)) for z, y in series.samples]
        drawn = decimate(pixels)
        if not series.joined:
            yield "dots", path(p for point in drawn for p in (point, (point[0], None)))
        elif len(pixels) <= WIDTH:
            yield "line", path(drawn)
        else:
            yield from (("range", path(drawn)), ("line", path(medians(pixels))))


def levels(up: Axis) -> list[tuple[float, str]]:
    """The values that are written beside an upward axis, as (y, text)."""
    values = ticks(up.low, up.high, 5)
    step = values[1] - values[0] if len(values) > 1 else 0.01
    # 1e-9: the logarithm of a power of ten may be rounded down
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(up(v), f"{v:,.{digits}f}".replace("-", "\N{MINUS SIGN}")) for v in values]


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
    return Axis(low - margin, high + margin, HEIGHT, 0)


def ticks(low: float, high: float, count: int, whole: bool = False) -> list[float]:
    """Round values within [low, high], about `count`; integers only if `whole`."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    # 0.999: rounding must not skip a step that fits exactly
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    step = max(1.0, step) if whole else step
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
