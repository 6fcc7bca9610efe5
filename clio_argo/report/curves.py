"""What the report plots along z, taken from its data."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from clio_argo.model.alignment import PairFit, SliceStatistics, centre_shift
from clio_argo.report.data import ReportData
from clio_argo.report.plots import Curve, Sample, Series, Style

# beyond it a number cannot be meant, and the arithmetic of axes would overflow
LARGEST_VALUE = 1e15
POSITION = "Offset of the centre of each slice from that of the first slice, on the canvas."
SHIFT = "How far the centre of each slice moves to match the slice below it."
RESIDUAL = "Median distance between the matched features after the fit; lower is better."
CORRELATION = "Similarity of the two aligned slices; 1 is identical."
IN_VOLUME = "Similarity of the two aligned slices, as matched and as rendered (with its contrast); 1 is identical."
BRIGHTNESS = "Mean grey value of each slice, as in its file."
EVEN = "Mean grey value of each slice, as in its file and after flicker is evened out."
FOCUS = "Strength of fine detail relative to contrast; a dip is a blurred slice."


def shift_px(data: ReportData, fit: PairFit) -> tuple[float, float]:
    """How far the fit moves the centre of its upper slice, (x, y) in full-size pixels; NaN without a fit."""
    if fit.matrix is None:
        return math.nan, math.nan
    return centre_shift(fit.matrix, data.plan.width, data.plan.height)


def direct_pairs(fits: Iterable[PairFit]) -> dict[int, PairFit]:
    """The matched pair of each upper slice `z1` that spans the fewest slices."""
    # the last of several with one upper slice stays: its lower slice is the nearest
    return {f.z1: f for f in sorted((f for f in fits if f.matched), key=lambda f: f.z0)}


def longer_pairs(fits: Iterable[PairFit]) -> list[PairFit]:
    """Matched pairs whose upper slice is matched with a nearer slice, too, ordered by z1."""
    matched = sorted((f for f in fits if f.matched), key=lambda f: (f.z1, f.z0))
    return [a for a, b in pairwise(matched) if a.z1 == b.z1]


def pair_curves(data: ReportData) -> list[Curve]:
    """Position of each slice; shift, residual and correlation of each pair, drawn at its upper slice."""
    shifts = (
        *_of_pairs(data, "x shift", lambda f: shift_px(data, f)[0]),
        *_of_pairs(data, "y shift", lambda f: shift_px(data, f)[1], "b"),
    )
    residuals = _of_pairs(data, "residual", lambda f: f.residual_px)
    # exactly 0 is the default of a fit that was not correlated
    matched = _of_pairs(data, "correlation", lambda f: f.correlation or math.nan)
    rendered = _rendered(data)
    return [
        Curve("Position", "px", POSITION, _positions(data)),
        Curve("Shift per pair", "px", SHIFT, shifts, (0.0,)),
        Curve("Residual per pair", "px", RESIDUAL, residuals, (0.0,)),
        Curve("Correlation per pair", "", IN_VOLUME if rendered else CORRELATION, (*matched, *rendered)),
    ]


def _positions(data: ReportData) -> tuple[Series, ...]:
    plan = data.plan
    placed = {s.z: s.matrix for s in data.transforms.slices if s.matrix is not None}
    at = {z: centre_shift(matrix, plan.width, plan.height) for z, matrix in placed.items()}
    if not at:
        return ()
    first = at[min(at)]
    x, y = ({z: p[axis] - first[axis] for z, p in at.items()} for axis in (0, 1))
    return (Series("x", _along(data, x)), Series("y", _along(data, y), "b"), *_other_path(data, x, y))


def _other_path(data: ReportData, *followed: Mapping[int, float]) -> Iterator[Series]:
    """Where slices would lie if their slow shift followed the other path: offsets (x, y) by z as dots."""
    shift = next((t for t in data.transforms.trends_to_tell if t.part == "shift"), None)
    if shift is None:
        return
    sign, path = (1, "by the images") if shift.follows == "recorded" else (-1, "as recorded")
    slow = {s.z: s.slow_px for s in data.transforms.slices if s.slow_px is not None}
    styles: tuple[Style, Style] = ("a", "b")
    for axis, (name, at, style) in enumerate(zip("xy", followed, styles, strict=True)):
        dots = [(float(z), _plottable(at[z] + sign * slow[z][axis])) for z in sorted(at.keys() & slow.keys())]
        yield Series(f"{name}, slow part {path}", dots, style, joined=False)


def _rendered(data: ReportData) -> tuple[Series, ...]:
    pairs = data.quality.pairs if data.quality else ()
    values = {p.z1: math.nan if p.correlation is None else p.correlation for p in pairs}
    return (Series("in the volume", _along(data, values), "b"),) if values else ()


def _of_pairs(data: ReportData, name: str, value: Callable[[PairFit], float], style: Style = "a") -> tuple[Series, ...]:
    direct, longer = direct_pairs(data.transforms.fits), longer_pairs(data.transforms.fits)
    line = Series(name, _along(data, {z: value(f) for z, f in direct.items()}), style)
    dots = [(f.z1, _plottable(value(f))) for f in longer]
    return (line, Series(f"{name}, longer pairs", dots, style, joined=False)) if dots else (line,)


def slice_curves(data: ReportData) -> list[Curve]:
    """Brightness and focus of each slice."""
    grey = {s.z: s.grey for s in data.transforms.slices if s.grey is not None}
    means = [Series("in the file", _of_slices(data, lambda f: f.mean))]
    if grey:
        even = _of_slices(data, lambda f: float(np.polyval(grey.get(f.z, (1.0, 0.0)), f.mean)))
        means.append(Series("evened out", even, "b"))
    focus = Series("focus", _of_slices(data, lambda f: f.focus))
    return [
        Curve("Brightness", "grey value", EVEN if grey else BRIGHTNESS, tuple(means)),
        Curve("Focus", "relative", FOCUS, (focus,)),
    ]


def _of_slices(data: ReportData, value: Callable[[SliceStatistics], float]) -> Sequence[Sample]:
    return _along(data, {f.z: value(f) for f in data.statistics if f.error is None})


def median_of(values: Iterable[float]) -> float | None:
    """The median of the values that are numbers; None if there are none."""
    finite = [v for v in values if math.isfinite(v)]
    return statistics.median(finite) if finite else None


def _along(data: ReportData, values: Mapping[int, float]) -> Sequence[Sample]:
    """A sample for each slice number of the stack; a slice without a value interrupts the line."""
    return [(z, _plottable(values.get(z, math.nan))) for z in range(data.plan.minz, data.plan.maxz + 1)]


def _plottable(value: float) -> float | None:
    return value if abs(value) < LARGEST_VALUE else None
