"""What the report plots along z, taken from its data."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from clio_argo.model.alignment import Break, PairFit, PlacedSlice, SliceFacts, apply
from clio_argo.report.data import ReportData
from clio_argo.report.markup import Html, count, join, plural, tag
from clio_argo.report.plots import LEFT, RIGHT, Curve, Mark, Sample, Series, Style, plot

# beyond it a number cannot be meant, and the arithmetic of axes would overflow
LARGEST_VALUE = 1e15
SHIFT = "How far each slice had to move onto the one below it, at its centre."
RESIDUAL = "Median distance of the matched features after the fit; lower is better."
CORRELATION = "Likeness of the two slices in register; 1 is identical."
BRIGHTNESS = "Mean grey value of each slice, as in its file."
EVENED = "Mean grey value of each slice, as in its file and with flicker evened out."
FOCUS = "Strength of fine detail relative to contrast; a dip is a blurred slice."
DECIMATED = (
    "The pale range of a column reaches from its lowest to its highest value, so no outlier is lost; the line "
    "is the median. Every flagged slice is marked."
)
POSITION = "How far each slice stands from where the first one was recorded, at its centre, after alignment."
IN_VOLUME = (
    "Likeness of the two slices in register, as matched and as rendered (with its contrast); 1 is identical."
)
LEGEND = (
    ("bad", "bad slice"),
    ("missing", "missing slice"),
    ("suspect", "suspect slice"),
    ("link", "link not found"),
    ("low", "pair far less alike than those around it"),
    ("jump", "jump of the stage"),
    ("break", "break"),
)


def shift_px(fit: PairFit, width: int, height: int) -> tuple[float, float]:
    """How far the fit moves the centre of the moving slice, (x, y) in full-size pixels."""
    centre = np.array([[(width - 1) / 2, (height - 1) / 2]])
    if fit.matrix is None:
        return math.nan, math.nan
    dx, dy = (apply(fit.matrix, centre) - centre)[0].tolist()
    return dx, dy


def _shift(data: ReportData, fit: PairFit) -> tuple[float, float]:
    return shift_px(fit, data.plan.width, data.plan.height)


def direct_links(fits: Iterable[PairFit]) -> dict[int, PairFit]:
    """The shortest link that was found from each slice `z1` downwards."""
    found = sorted((f for f in fits if f.found), key=lambda f: f.z0)
    return {f.z1: f for f in found}


def longer_links(fits: Iterable[PairFit]) -> list[PairFit]:
    """Links that were found beside a shorter one, ordered by z1."""
    found = sorted((f for f in fits if f.found), key=lambda f: (f.z1, f.z0))
    return [a for a, b in pairwise(found) if a.z1 == b.z1]


def pair_curves(data: ReportData) -> list[Curve]:
    """Shift, residual and correlation of each pair, drawn at its upper slice."""
    shifts = _pairs(data, "x shift", lambda f: _shift(data, f)[0]) + _pairs(
        data, "y shift", lambda f: _shift(data, f)[1], "b"
    )
    residuals = _pairs(data, "residual", lambda f: f.residual_px)
    matched, rendered = _pairs(data, "correlation", _correlation), _rendered(data)
    return [
        Curve("Position", "px", POSITION, _positions(data)),
        Curve("Shift per pair", "px", SHIFT, shifts, (0.0,)),
        Curve("Residual per pair", "px", RESIDUAL, residuals, (0.0,)),
        Curve("Correlation per pair", "", IN_VOLUME if rendered else CORRELATION, (*matched, *rendered)),
    ]


def _positions(data: ReportData) -> tuple[Series, ...]:
    placed = {s.z: s.matrix for s in data.transforms.slices if s.matrix is not None}
    if not placed:
        return ()
    centre = np.array([[(data.plan.width - 1) / 2, (data.plan.height - 1) / 2]])
    at = {z: apply(matrix, centre)[0] for z, matrix in placed.items()}
    first = at[min(at)]
    x, y = ({z: float((p - first)[axis]) for z, p in at.items()} for axis in (0, 1))
    return Series("x", _along(data, x)), Series("y", _along(data, y), "b")


def _rendered(data: ReportData) -> tuple[Series, ...]:
    pairs = data.quality.pairs if data.quality else ()
    values = {p.z1: math.nan if p.correlation is None else p.correlation for p in pairs}
    return (Series("in the volume", _along(data, values), "b"),) if values else ()


def _pairs(
    data: ReportData, name: str, value: Callable[[PairFit], float], style: Style = "a"
) -> tuple[Series, ...]:
    near, far = direct_links(data.transforms.fits), longer_links(data.transforms.fits)
    line = Series(name, _along(data, {z: value(f) for z, f in near.items()}), style)
    beside = [(f.z1, _sane(value(f))) for f in far]
    return (line, Series(f"{name}, longer links", beside, style, joined=False)) if far else (line,)


def slice_curves(data: ReportData) -> list[Curve]:
    """Brightness and focus of each slice."""
    grey = {s.z: s.grey for s in data.transforms.slices if s.grey is not None}
    means = _slices(data, "in the file", lambda f: f.mean)
    if grey:
        means += _slices(data, "evened out", lambda f: _evened(f.mean, grey.get(f.z)), "b")
    return [
        Curve("Brightness", "grey value", EVENED if grey else BRIGHTNESS, means),
        Curve("Focus", "relative", FOCUS, _slices(data, "focus", lambda f: f.focus)),
    ]


def _evened(mean: float, grey: tuple[float, float] | None) -> float:
    return mean if grey is None else grey[0] * mean + grey[1]


def _slices(
    data: ReportData, name: str, value: Callable[[SliceFacts], float], style: Style = "a"
) -> tuple[Series, ...]:
    return (Series(name, _along(data, {f.z: value(f) for f in data.facts if f.error is None}), style),)


def marks(data: ReportData) -> list[Mark]:
    """Every slice that is not good, every link that was not found, every pair that is not alike, jumps and breaks."""
    low = data.quality.low if data.quality else ()
    return [
        *(Mark(s.verdict, s.z, _slice_text(s)) for s in data.transforms.slices if s.verdict != "good"),
        *(Mark("link", (f.z0 + f.z1) / 2, _lost(f)) for f in data.transforms.fits if not f.found),
        *(Mark("low", (p.z0 + p.z1) / 2, str(p)) for p in low),
        *(Mark("jump", z - 0.5, f"the stage stands elsewhere from z {z} on") for z in data.transforms.jumps),
        *(Mark("break", (b.below + b.above) / 2, _break_text(b)) for b in data.transforms.breaks),
    ]


def _break_text(gap: Break) -> str:
    return f"break between z {gap.below} and z {gap.above}"


def _slice_text(placed: PlacedSlice) -> str:
    return f"z {placed.z} {placed.verdict}" + (f": {placed.reason}" if placed.reason else "")


def figures(data: ReportData, curves: Iterable[Curve], found: Sequence[Mark]) -> Iterator[Html]:
    """Each curve with its caption and the marks `found`."""
    z = (data.plan.minz, data.plan.maxz)
    for curve in curves:
        drawn = [plot(curve, z, found)] if found or not curve.empty else []
        yield tag("figure", tag("h3", curve.title), *drawn, _caption(curve), class_="plot")


def legend(found: Sequence[Mark]) -> Html:
    """What the marks mean."""
    kinds = {mark.kind for mark in found}
    keys = [_key(kind, text) for kind, text in LEGEND if kind in kinds]
    return tag("p", *keys, class_="legend") if keys else join(())


def crowding(data: ReportData) -> Html:
    """How long curves are drawn."""
    columns = int(RIGHT - LEFT)
    if data.plan.depth <= columns:
        return join(())
    crowd = f"{plural(data.plan.depth, 'slice')} share {count(columns)} columns."
    return tag("p", f"{crowd} {DECIMATED}", class_="note")


def median_of(values: Iterable[float]) -> float | None:
    known = [v for v in values if math.isfinite(v)]
    return statistics.median(known) if known else None


def _caption(curve: Curve) -> Html:
    if curve.empty:
        return tag("figcaption", "Nothing was measured.")
    keys = (_key(s.style if s.joined else f"{s.style} dots", s.name) for s in curve.series)
    names = [tag("span", *keys, class_="legend")] if len(curve.series) > 1 else []
    return tag("figcaption", tag("span", curve.caption), *names)


def _key(style: str, text: str) -> Html:
    return tag("span", tag("i", "", class_=f"key {style}"), text)


def _along(data: ReportData, values: Mapping[int, float]) -> Sequence[Sample]:
    """A sample for each slice number of the stack; a slice without a value interrupts the line."""
    return [(z, _sane(values.get(z, math.nan))) for z in range(data.plan.minz, data.plan.maxz + 1)]


def _sane(value: float) -> float | None:
    return value if abs(value) < LARGEST_VALUE else None


def _correlation(fit: PairFit) -> float:
    # exactly 0 is the default of a fit that was not correlated
    return fit.correlation or math.nan


def _lost(fit: PairFit) -> str:
    return f"no link between z {fit.z0} and z {fit.z1}" + (f": {fit.reason}" if fit.reason else "")
