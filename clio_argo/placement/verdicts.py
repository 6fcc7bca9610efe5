"""Which slices are not as they should be, told by comparison with the stack around them.

Each measure of a slice is compared with its running median over z. A fault is a departure of many robust
standard deviations (median of absolute departures) of this very stack that is also large enough to be worth
naming: slow changes, new settings of the microscope and stacks that are noisy throughout raise no alarm, and
neither does a still stack.

What two slices show of each other may be the fault of either. A slice is judged by the neighbour that it
agrees best with, and slices that are suspect themselves are no witnesses: so the neighbours of a defect are
not blamed for it.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import median_filter

from clio_argo.kernels.solve import Solution
from clio_argo.model.alignment import Floats, PairFit, SliceStatistics
from clio_argo.model.plan import Remark

# slices over which a measure is "usual": the median ignores runs of up to seven faults, and follows a step that stays
WINDOW = 15
# slices over which a stack's scatter is taken: faults are rare among so many
SPREAD_WINDOW = 401
# robust standard deviations that make a fault: raw FIB-SEM (41 slices) and ssTEM of the test data raise no alarm at it
SIGMAS = 6.0
# a standard deviation of normal values is so many median absolute deviations (1 / Phi^-1(3/4))
MAD_TO_SIGMA = 1.4826
# neighbours up to which pairs are tried around a suspect: two bad slices in a row are passed over
REACH = 3
# slices on either side of a jump whose pairs say how far the stage jumped: three times the length over which
# recorded positions outweigh pairs (docs/design.md)
AROUND_JUMP = 64
# difference (1 - correlation) below which pairs count as alike: still stacks differ by rounding alone
LEAST_DIFFERENCE = 0.01
# pairs of one distance that it takes to say what is usual for it
LEAST_USUAL = 4
# slices that it takes to say what is usual at all
LEAST_STACK = 5


@dataclass(frozen=True)
class Measure:
    """A property of slices that changes slowly over z, as columns of `Stack` give it, one value a slice.

    low, high: what a slice is called whose value is too low, or too high; None: no fault.
    least: the smallest departure worth naming.
    shown: a value as people read it.
    """

    name: str
    values: Callable[["Stack"], Floats]
    least: float
    low: str | None
    high: str | None
    shown: Callable[[float], str]


@dataclass(frozen=True)
class Stack:
    """Facts of the slices that show something, ordered by z, and how each agrees with its neighbours.

    against: [slices, 4]: logarithms of 1 - correlation of the whole slice and of its worst tiles, part that it
    hides, distortion.
    """

    statistics: Sequence[SliceStatistics]
    against: Floats

    def column(self, name: str) -> Floats:
        """A property of all slices, [slices]."""
        return np.array([getattr(f, name) for f in self.statistics], np.float64)

    def logarithm(self, name: str) -> Floats:
        """Natural logarithm of a property of all slices, [slices]: ratios become differences."""
        # nothing that shows tissue has so little contrast; it keeps the logarithm finite
        return np.asarray(np.log(np.maximum(self.column(name), 1e-6)))


def _brightness(stack: Stack) -> Floats:
    """Means [slices] in units of the usual contrast."""
    return np.asarray(stack.column("mean") / np.maximum(running_median(stack.column("std")), 1e-6))


def _power(value: float) -> str:
    return f"{np.exp(value):.3g}"


def _correlation(value: float) -> str:
    return f"{1 - np.exp(value):.3f}"


# Least departures: brightness and contrast of slices flicker by 0.2, and a slice at a quarter of its light departs by
# 2 and 1.4; a blur of 4 px by 1.5, curtains by 1.4, rows displaced by 6 px by 1.1 and 1.2.
MEASURES = (
    Measure("brightness", _brightness, 0.75, "dark", "bright", "{:.2f}".format),
    Measure("contrast", lambda s: s.logarithm("std"), 0.5, "of low contrast", "of high contrast", _power),
    Measure("focus", lambda s: s.logarithm("focus"), 0.3, "blurred", None, _power),
    Measure("stripes", lambda s: s.logarithm("stripes"), 0.6, None, "curtained", _power),
    Measure("correlation", lambda s: s.against[:, 0], 0.6, None, "unlike its neighbours", _correlation),
    Measure("correlation", lambda s: s.against[:, 1], 0.9, None, "unlike its neighbours in places", _correlation),
    Measure("turn and stretch", lambda s: s.against[:, 3], 0.015, None, "out of shape", "{:.1%}".format),
    Measure("hidden part", lambda s: s.against[:, 2], 0.03, None, "partly covered", "{:.0%}".format),
)


def judge(statistics: Sequence[SliceStatistics], fits: Sequence[PairFit] | None) -> dict[int, Remark]:
    """Bad and suspect slices by z. Bad ones show nothing of their own; suspect ones show tissue, with a fault.

    Without alignment (fits None) nothing is replaced for what it shows, so nothing that decodes is bad.
    """
    if fits is None:
        remarks = judge(statistics, ())
        decoded = {f.z for f in statistics if f.error is None}
        return {z: r.model_copy(update={"verdict": "suspect"}) if z in decoded else r for z, r in remarks.items()}
    bad = without_content(statistics)
    good = [f for f in statistics if f.z not in bad]
    first = faults(good, fits, {f.z for f in good})
    suspect = faults(good, fits, {f.z for f in good} - first.keys()) if first else {}
    swapped = {z: why for z, why in inverted(fits).items() if z not in bad}
    suspect |= {z: "; ".join(filter(None, (why, suspect.get(z)))) for z, why in swapped.items()}
    return {**bad, **{z: Remark(z=z, verdict="suspect", reason=why) for z, why in suspect.items()}}


def inverted(fits: Sequence[PairFit]) -> dict[int, str]:
    """Slices that show black and white the other way round than most of the stack, by z."""
    swapped: dict[int, bool] = {}
    for f in sorted((f for f in fits if f.found), key=lambda f: (f.z1, f.z0)):
        swapped[f.z1] = swapped.setdefault(f.z0, False) != (f.method == "inverted")
    rare = 2 * sum(swapped.values()) <= len(swapped)
    return {z: "inverted: black and white are swapped" for z, is_so in swapped.items() if is_so == rare}


def without_content(statistics: Sequence[SliceStatistics]) -> dict[int, Remark]:
    """Slices that do not decode, show nothing, or repeat the slice before them pixel by pixel."""
    found = {f.z: why for f in statistics if (why := _empty(f))}
    shown = [f for f in statistics if f.z not in found]
    found.update((b.z, f"the same pixels as z {a.z}") for a, b in pairwise(shown) if a.digest == b.digest)
    return {z: Remark(z=z, verdict="bad", reason=why) for z, why in found.items()}


def _empty(fact: SliceStatistics) -> str:
    if fact.error is not None:
        return fact.error
    return "" if fact.usable else f"shows nothing: {1 - fact.valid:.0%} of it is of one grey value"


def faults(
    statistics: Sequence[SliceStatistics], fits: Sequence[PairFit], witnesses: Collection[int]
) -> dict[int, str]:
    """What is wrong with slices, by z, judged by the `witnesses` among their neighbours."""
    if len(statistics) < LEAST_STACK:
        return {}
    stack = Stack(statistics, against_neighbours([f.z for f in statistics], fits, witnesses))
    why: dict[int, list[str]] = {}
    for measure in MEASURES:
        for z, text in _departures(measure, stack):
            why.setdefault(z, []).append(text)
    return {z: "; ".join(texts) for z, texts in why.items()}


def _departures(measure: Measure, stack: Stack) -> list[tuple[int, str]]:
    values = measure.values(stack)
    usual = running_median(values)
    departure = values - usual
    limit = np.maximum(measure.least, SIGMAS * MAD_TO_SIGMA * running_median(np.abs(departure), SPREAD_WINDOW))
    names = {True: measure.high, False: measure.low}
    return [
        (stack.statistics[i].z, f"{name}: {measure.name} {measure.shown(values[i])}, usually {measure.shown(usual[i])}")
        for i in np.flatnonzero(np.abs(departure) > limit).tolist()
        if (name := names[bool(departure[i] > 0)])
    ]


def running_median(values: Floats, window: int = WINDOW) -> Floats:
    """Median [slices] of the `window` values around each of `values` [slices]; ends are reflected."""
    return np.asarray(median_filter(values, window, mode="reflect"), np.float64)


def against_neighbours(numbers: Sequence[int], fits: Sequence[PairFit], witnesses: Collection[int]) -> Floats:
    """How each slice compares with the witness nearest to it, [slices, 4]: see `Stack`.

    Of two witnesses at the same distance the one counts that the slice agrees with. Slices further apart differ more,
    so that a pair is compared with others of its distance.
    """
    found = [f for f in fits if f.found]
    usual = usual_differences(found)
    seen: dict[int, list[tuple[int, Floats]]] = {z: [] for z in numbers}
    for f in found:
        lag = f.z1 - f.z0
        relative = usual[1] + differences(f) - usual[lag]
        for z, other, hidden in ((f.z0, f.z1, f.occluded[0]), (f.z1, f.z0, f.occluded[1])):
            if z in seen and other in witnesses:
                seen[z].append((lag, np.append(relative, (hidden, distortion(f)))))
    nothing = np.append(usual[1], (0.0, 0.0))
    return np.array([_of_nearest(seen[z], nothing) for z in numbers])


def _of_nearest(seen: Sequence[tuple[int, Floats]], nothing: Floats) -> Floats:
    """The least differences [4] from the nearest witnesses; `nothing` [4] where there is none."""
    nearest = min((lag for lag, _ in seen), default=0)
    return np.asarray(np.min([v for lag, v in seen if lag == nearest] or [nothing], axis=0))


def differences(fit: PairFit) -> Floats:
    """Natural logarithms of 1 - correlation, [2]: of the whole pair, and of its worst tiles."""
    return np.asarray(np.log(np.maximum([1 - fit.correlation, 1 - fit.worst_tile_correlation], LEAST_DIFFERENCE)))


def distortion(fit: PairFit) -> float:
    """How much the linear part of a fit turns, stretches and shears a slice: norm of its difference from identity."""
    return float(np.linalg.norm(np.array(fit.matrix)[:, :2] - np.eye(2)))


def usual_differences(fits: Sequence[PairFit]) -> Mapping[int, Floats]:
    """Median differences [2] of slices by their distance in z; never less than those of closer ones."""
    by_lag: dict[int, list[Floats]] = {1: []}
    for f in fits:
        by_lag.setdefault(f.z1 - f.z0, []).append(differences(f))
    usual, last = dict[int, Floats](), np.full(2, np.log(LEAST_DIFFERENCE))
    for lag in sorted(by_lag):
        if len(by_lag[lag]) >= LEAST_USUAL:
            last = np.maximum(last, np.median(by_lag[lag], axis=0))
        usual[lag] = last
    return usual


def alignable(
    statistics: Sequence[SliceStatistics], remarks: Mapping[int, Remark], wanted: Collection[int] = ()
) -> list[int]:
    """Slices that links may lead to: all that decode but bad ones; `wanted`: what a person says is none."""
    bad = {z for z, r in remarks.items() if r.verdict == "bad"} - set(wanted)
    return [f.z for f in statistics if f.error is None and f.z not in bad]


def not_placed(solution: Solution, fits: Sequence[PairFit]) -> dict[int, Remark]:
    """Slices that no link reaches: nobody knows where they belong."""
    links: dict[int, list[PairFit]] = {}
    for f in fits:
        for z in (f.z0, f.z1):
            links.setdefault(z, []).append(f)
    return {z: Remark(z=z, verdict="bad", reason=_unlinked(links.get(z, []))) for z in solution.isolated}


def _unlinked(tried: Sequence[PairFit]) -> str:
    """Why a slice has no place, told by the shortest of the links that were tried."""
    shortest = min(tried, key=lambda f: f.z1 - f.z0, default=None)
    why = f"{len(tried)} tried; the nearest: {shortest.reason}" if shortest else "none was tried"
    return f"matches none of its neighbours ({why})"


def doubtful_links(
    statistics: Sequence[SliceStatistics], fits: Sequence[PairFit], remarks: Mapping[int, Remark]
) -> list[tuple[int, int]]:
    """Links (z0, z1) still to be tried: up to the third neighbour, over and to every slice that is in doubt.

    In doubt are suspect slices and both slices of neighbours without a fit. Bad slices are no neighbours.
    """
    numbers = alignable(statistics, remarks)
    tried, found = {(f.z0, f.z1) for f in fits}, {(f.z0, f.z1) for f in fits if f.found}
    unlinked = {z for pair in pairwise(numbers) if pair not in found for z in pair}
    doubtful = np.array([z in unlinked or z in remarks for z in numbers], np.bool_)
    pairs = (
        (numbers[i], numbers[i + reach])
        for i in range(len(numbers))
        for reach in range(1, REACH + 1)
        if doubtful[i : i + reach + 1].any() and i + reach < len(numbers)
    )
    return [p for p in pairs if p not in tried]


def links_at_jumps(numbers: Sequence[int], fits: Sequence[PairFit], jumps: Sequence[int]) -> list[tuple[int, int]]:
    """Links (z0, z1) to second and third neighbours, still to be tried, from 64 slices below each jump to 64 above.

    Only the links on both sides tell how far the stage jumped: recorded positions do not say it.
    """
    tried, at = {(f.z0, f.z1) for f in fits}, (bisect_left(numbers, z) for z in jumps)
    near = {i for jump in at for i in range(max(0, jump - AROUND_JUMP), jump + AROUND_JUMP)}
    pairs = [(numbers[i], numbers[i + n]) for i in sorted(near) for n in (2, REACH) if i + n < len(numbers)]
    return [p for p in pairs if p not in tried]
