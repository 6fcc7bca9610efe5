"""Finds faulty slices by comparison with the stack around them.

Each measure of a slice is compared with its running median over z. A fault is a departure of many robust standard
deviations (median of absolute departures) of this stack that also exceeds a least size: slow changes, new settings of
the microscope, stacks that are noisy throughout and still stacks raise no alarm.

What two slices show of each other may be the fault of either. A slice is judged by the neighbour that it agrees best
with, and suspect slices are no witnesses, so that the neighbours of a defect are not blamed for it.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import median_filter

from clio_argo.kernels.noise import NOISY_PX
from clio_argo.kernels.solve import FEW_SLICES, Solution
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
# slices on either side of a jump whose pairs measure the jump: three times the length over which recorded positions
# outweigh pairs. With them 5,000 slices with ten jumps end within 0.7-1.5 px rms, without within 1.3-2.0 px.
AROUND_JUMP = 64
# difference (1 - correlation) below which pairs count as alike: still stacks differ by rounding alone
LEAST_DIFFERENCE = 0.01
# pairs of one distance from which a median is taken: of four it ignores one outlier
LEAST_PAIRS = 4
# of the values of a slice that may be clipped: hot pixels and marks are fewer
MOST_CLIPPED = 1e-3
# slices from which medians are taken: of five they ignore two outliers
LEAST_STACK = 5


@dataclass(frozen=True)
class Measure:
    """A property of slices that changes slowly over z.

    values: its values [slices] for a `Stack`.
    least: the smallest departure that is a fault.
    low, high: the fault of a slice whose value is too low, or too high; None: no fault.
    text: a value as text.
    """

    name: str
    values: Callable[["Stack"], Floats]
    least: float
    low: str | None
    high: str | None
    text: Callable[[float], str]


@dataclass(frozen=True)
class Stack:
    """Statistics of the slices that show something, ordered by z, and how each compares with its neighbours.

    against [slices, 4]: logarithms of 1 - correlation of the whole slice and of its worst tiles, occluded fraction,
    distortion.
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
    """Means [slices] in units of the local contrast."""
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
    Measure("occluded part", lambda s: s.against[:, 2], 0.03, None, "partly covered", "{:.0%}".format),
)


def judge(statistics: Sequence[SliceStatistics], fits: Sequence[PairFit] | None) -> dict[int, Remark]:
    """Bad and suspect slices by z. Bad slices show nothing of their own; suspect slices show tissue, with a fault.

    Without alignment (fits None) nothing is replaced for what it shows, so nothing that decodes is bad.
    """
    if fits is None:
        remarks = judge(statistics, ())
        decoded = {f.z for f in statistics if f.error is None}
        return {z: r.model_copy(update={"verdict": "suspect"}) if z in decoded else r for z, r in remarks.items()}
    bad = find_empty(statistics)
    good = [f for f in statistics if f.z not in bad]
    # twice: suspects of the first round are no witnesses in the second
    first = find_faults(good, fits, {f.z for f in good})
    suspect = find_faults(good, fits, {f.z for f in good} - first.keys()) if first else {}
    damaged = {f.z: f"damaged: {f.warning}" for f in good if f.warning}
    lost = {f.z: "; ".join(f.lost_channels) for f in good if f.lost_channels}
    for found in (find_inverted(fits), find_clipped(good), find_copies(good), damaged, lost):
        suspect |= {z: "; ".join(filter(None, (why, suspect.get(z)))) for z, why in found.items() if z not in bad}
    return {**bad, **{z: Remark(z=z, verdict="suspect", reason=why) for z, why in suspect.items()}}


def find_inverted(fits: Sequence[PairFit]) -> dict[int, str]:
    """Slices in which black and white are swapped against most of the stack, by z."""
    swapped: dict[int, bool] = {}
    for f in sorted((f for f in fits if f.matched), key=lambda f: (f.z1, f.z0)):
        swapped[f.z1] = swapped.setdefault(f.z0, False) != (f.method == "inverted")
    rare = 2 * sum(swapped.values()) <= len(swapped)
    return {z: "inverted: black and white are swapped" for z, is_so in swapped.items() if is_so == rare}


def find_clipped(statistics: Sequence[SliceStatistics]) -> dict[int, str]:
    """Slices that lost values beyond the grey values, by z."""
    lost = "of its values lie beyond those that become grey values (value_window) and were clipped"
    return {f.z: f"clipped: {f.clipped:.2%} {lost}" for f in statistics if f.clipped > MOST_CLIPPED}


def find_copies(statistics: Sequence[SliceStatistics]) -> dict[int, str]:
    """Slices that hold the pixels of another slice, wherever it lies, by z; pixels cannot tell which is the copy."""
    alike: dict[tuple[str, float, float], list[int]] = {}
    for f in statistics:
        # of 100,000 digests of 32 bits two are equal by chance: the other figures tell those apart
        alike.setdefault((f.digest, f.mean, f.std), []).append(f.z)
    return {z: _copied([z1 for z1 in numbers if z1 != z]) for numbers in alike.values() for z in numbers if numbers[1:]}


def _copied(others: Sequence[int]) -> str:
    return f"the same pixels as z {', '.join(map(str, others[:3]))}{' ...' * (len(others) > 3)}: one is a copy"


def find_empty(statistics: Sequence[SliceStatistics]) -> dict[int, Remark]:
    """Slices that do not decode, show nothing, or repeat the slice before them pixel by pixel."""
    reasons = {f.z: why for f in statistics if (why := _emptiness(f))}
    rest = [f for f in statistics if f.z not in reasons]
    reasons.update((b.z, f"the same pixels as z {a.z}") for a, b in pairwise(rest) if a.digest == b.digest)
    return {z: Remark(z=z, verdict="bad", reason=why) for z, why in reasons.items()}


def _emptiness(statistics: SliceStatistics) -> str:
    if statistics.error is not None:
        return statistics.error
    return "" if statistics.usable else f"shows nothing: {1 - statistics.valid:.0%} of it is of one grey value"


def find_faults(
    statistics: Sequence[SliceStatistics], fits: Sequence[PairFit], witnesses: Collection[int]
) -> dict[int, str]:
    """Faults of slices by z, judged by those of their neighbours that are `witnesses`."""
    if len(statistics) < LEAST_STACK:
        return {}
    stack = Stack(statistics, compare_with_neighbours([f.z for f in statistics], fits, witnesses))
    why: dict[int, list[str]] = {}
    for measure in MEASURES:
        for z, text in _departures(measure, stack):
            why.setdefault(z, []).append(text)
    return {z: "; ".join(texts) for z, texts in why.items()}


def _departures(measure: Measure, stack: Stack) -> list[tuple[int, str]]:
    values = measure.values(stack)
    medians = running_median(values)
    departure = values - medians
    limit = np.maximum(measure.least, SIGMAS * MAD_TO_SIGMA * running_median(np.abs(departure), SPREAD_WINDOW))
    names = {True: measure.high, False: measure.low}
    return [
        (stack.statistics[i].z, f"{name}: {measure.name} {measure.text(values[i])}, usually {measure.text(medians[i])}")
        for i in np.flatnonzero(np.abs(departure) > limit).tolist()
        if (name := names[bool(departure[i] > 0)])
    ]


def running_median(values: Floats, window: int = WINDOW) -> Floats:
    """Median [slices] of the `window` values around each of `values` [slices]; ends are reflected."""
    return np.asarray(median_filter(values, window, mode="reflect"), np.float64)


def compare_with_neighbours(numbers: Sequence[int], fits: Sequence[PairFit], witnesses: Collection[int]) -> Floats:
    """Comparison [slices, 4] of each slice with the witness nearest to it: the columns of `Stack.against`.

    Of two witnesses at the same distance the one that the slice agrees with counts.
    """
    matched = [f for f in fits if f.matched]
    medians = median_differences(matched)
    compared: dict[int, list[tuple[int, Floats]]] = {z: [] for z in numbers}
    for f in matched:
        lag = f.z1 - f.z0
        # slices further apart differ more: a pair is compared with others of its distance
        relative = medians[1] + differences(f) - medians[lag]
        for z, other, occluded in ((f.z0, f.z1, f.occluded[0]), (f.z1, f.z0, f.occluded[1])):
            if z in compared and other in witnesses:
                compared[z].append((lag, np.append(relative, (occluded, distortion(f)))))
    default = np.append(medians[1], (0.0, 0.0))
    return np.array([_nearest(compared[z], default) for z in numbers])


def _nearest(compared: Sequence[tuple[int, Floats]], default: Floats) -> Floats:
    """The least differences [4] from the nearest witnesses, given with their distances; `default` [4] without one."""
    nearest = min((lag for lag, _ in compared), default=0)
    return np.asarray(np.min([v for lag, v in compared if lag == nearest] or [default], axis=0))


def differences(fit: PairFit) -> Floats:
    """Natural logarithms of 1 - correlation, [2]: of the whole pair, and of its worst tiles."""
    return np.asarray(np.log(np.maximum([1 - fit.correlation, 1 - fit.worst_tile_correlation], LEAST_DIFFERENCE)))


def distortion(fit: PairFit) -> float:
    """How much the linear part of a fit turns, stretches and shears a slice: norm of its difference from identity."""
    return float(np.linalg.norm(np.array(fit.matrix)[:, :2] - np.eye(2)))


def median_differences(fits: Sequence[PairFit]) -> Mapping[int, Floats]:
    """Median differences [2] of pairs by their distance in z; never less than those of closer pairs."""
    by_lag: dict[int, list[Floats]] = {1: []}
    for f in fits:
        by_lag.setdefault(f.z1 - f.z0, []).append(differences(f))
    medians, last = dict[int, Floats](), np.full(2, np.log(LEAST_DIFFERENCE))
    for lag in sorted(by_lag):
        if len(by_lag[lag]) >= LEAST_PAIRS:
            last = np.maximum(last, np.median(by_lag[lag], axis=0))
        medians[lag] = last
    return medians


def alignable_slices(
    statistics: Sequence[SliceStatistics], remarks: Mapping[int, Remark], overruled: Collection[int] = ()
) -> list[int]:
    """Slices that can be aligned: all that decode, without bad ones, except those that the user has `overruled`."""
    bad = {z for z, r in remarks.items() if r.verdict == "bad"} - set(overruled)
    return [f.z for f in statistics if f.error is None and f.z not in bad]


def remarks_on_isolated(solution: Solution, fits: Sequence[PairFit]) -> dict[int, Remark]:
    """Remarks on slices that no fit reaches, so that their position is unknown."""
    tried: dict[int, list[PairFit]] = {}
    for f in fits:
        for z in (f.z0, f.z1):
            tried.setdefault(z, []).append(f)
    return {z: Remark(z=z, verdict="bad", reason=_isolation(tried.get(z, []))) for z in solution.isolated}


def _isolation(tried: Sequence[PairFit]) -> str:
    """Why no fit reaches a slice, from the closest of the pairs that were tried."""
    shortest = min(tried, key=lambda f: f.z1 - f.z0, default=None)
    why = f"{len(tried)} tried; the nearest: {shortest.reason}" if shortest else "none was tried"
    return f"matches none of its neighbours ({why})"


def pairs_in_doubt(
    statistics: Sequence[SliceStatistics], fits: Sequence[PairFit], remarks: Mapping[int, Remark]
) -> list[tuple[int, int]]:
    """Pairs (z0, z1) still to be matched: up to the third neighbour, across and with every slice in doubt.

    In doubt are suspect slices and both slices of neighbours without a fit. Bad slices are no neighbours.
    """
    # second neighbours everywhere cost 0.1 CPU s per slice of 5000 x 5000 and do not change the pair error (0.26 px)
    numbers = alignable_slices(statistics, remarks)
    tried, matched = {(f.z0, f.z1) for f in fits}, {(f.z0, f.z1) for f in fits if f.matched}
    unmatched = {z for pair in pairwise(numbers) if pair not in matched for z in pair}
    doubtful = np.array([z in unmatched or z in remarks for z in numbers], np.bool_)
    pairs = (
        (numbers[i], numbers[i + reach])
        for i in range(len(numbers))
        for reach in range(1, REACH + 1)
        if doubtful[i : i + reach + 1].any() and i + reach < len(numbers)
    )
    return [p for p in pairs if p not in tried]


def pairs_at_jumps(numbers: Sequence[int], fits: Sequence[PairFit], jumps: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs (z0, z1) of second and third neighbours still to be matched, from 64 slices below each jump to 64 above."""
    # a jump cuts the recorded positions in two: only the fits on its two sides measure it
    tried, at = {(f.z0, f.z1) for f in fits}, (bisect_left(numbers, z) for z in jumps)
    near = {i for jump in at for i in range(max(0, jump - AROUND_JUMP), jump + AROUND_JUMP)}
    pairs = [(numbers[i], numbers[i + n]) for i in sorted(near) for n in (2, REACH) if i + n < len(numbers)]
    return [p for p in pairs if p not in tried]


def pairs_in_noise(numbers: Sequence[int], fits: Sequence[PairFit]) -> list[tuple[int, int]]:
    """Second neighbours (z0, z1) still to be matched in a short stack whose fits are noisy, if their correlation is."""
    tried, noise_px = {(f.z0, f.z1) for f in fits}, [f.noise_px for f in fits if f.matched]
    # the fits of a chain agree whatever they measure: only loops tell noise of fits from a walk of the stage
    if len(numbers) >= FEW_SLICES or not noise_px or float(np.median(noise_px)) < NOISY_PX:
        return []
    return [p for p in zip(numbers, numbers[2:], strict=False) if p not in tried]
