"""Estimates from the stack itself how far recorded positions can be trusted.

Chained fits drift as a random walk. Recorded positions (the raw image frames) do not, unless the stage does.
The position x of a slice is modelled as recorded + q + jitter, with a random walk q. Between jumps, the power of
chained minus recorded positions at a wavelength of L slices is jitter^2 + (fit^2 + walk^2) / (2 - 2 cos(2 pi / L)), so
both are read off the spectrum: what grows beyond what fits and tissue add up is the drift of the stage. A stage that
stays has a stiff q, which stops the random walk. A stage that drifts has a loose q, which holds nothing. Across a jump
q is free.

Loops of fits show the noise of fits, but not how far tissue itself moves from slice to slice, since all fits agree
on that. The similarity of slices shows it: noise makes any two slices less similar once, tissue does so with each
slice between them.
"""

from bisect import bisect_right, insort
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import dct

from clio_argo.model.alignment import Floats

# variance of a step of the walk over that of the jitter: from none to nothing else
WALK_OVER_JITTER = np.logspace(-7, 4, 133)
# with windows that shrink to three slices next to other jumps 149 of 150 jumps are found, 23 with sixteen for each
JUMP_WINDOW, FEWEST_AROUND_JUMP = 8, 3
# false jumps in 12,000 slices: 58 at 3 sigma (62 in drifting stages), 3 (8) at 4, 1 (0) from 5 to 8
JUMP_SIGMAS = 6.0
# chosen: smaller steps do not need a jump, as the walk of a stage follows them
LEAST_JUMP_PX = 3.0
# sqrt(2 ln 2): the median length of vectors of two normal values, in their standard deviations
RAYLEIGH_MEDIAN = 1.1774
# chosen: with fewer loops, or fewer cosines for two unknowns, short stacks were pulled 0.9 px off (benchmarks, short)
FEWEST_LOOPS, FEWEST_WAVES = 3, 16
# chosen: half a pixel is what a short stack may lose; neighbours of 8 nm have 0.2, with 8 grey levels of noise 0.5
SURE_LOOPS, NOISY_PX = 8, 0.5
# the noise at a correlation of 0.975 (neighbours of 8 nm); ten times the rounding of offsets, for fits without noise
UNKNOWN_FIT_PX, LEAST_FIT_PX = 0.2, 1e-3
# of a fit's noise: a walk that adds up to it in 10,000 slices; as good as free, far from the limits of double precision
STIFFEST_WALK, LOOSE = 1e-2, 1e4
# times the root of what two slices do not share, 1 / correlation - 1; as measured on undistorted slices
PX_PER_DIFFERENCE = 1.3
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Anchor:
    """Standard deviations in pixels: of a recorded position, of its drift from slice to slice, and of all drift.

    They are scalars, equal for all slices and axes.
    """

    jitter_px: float
    walk_px: float
    hold_px: float = np.inf


@dataclass(frozen=True)
class PairNoise:
    """Standard deviations of a fit in pixels: of its shift at the centre, and of its linear part at the border.

    tissue_px: of the shift at the centre that tissue alone causes from slice to slice.
    known: whether loops tell them. Correlation does not: noise in slices lowers it, though fits may be right.
    most_px: of the shift, at most. sure: whether even a short stack has loops enough for its noise.
    """

    shift_px: float
    linear_px: float
    tissue_px: float
    most_px: float
    known: bool = True
    sure: bool = True


def no_anchor(fit_px: float) -> Anchor:
    """An anchor that holds nothing: fits alone decide."""
    return Anchor(LOOSE * fit_px, LOOSE * fit_px)


def robust_std(values: Floats) -> float:
    """Standard deviation, a scalar, of values of any shape around 0 with outliers.

    It is the median absolute deviation over 0.6745, the third quartile of the normal distribution.
    """
    return float(1.4826 * np.median(np.abs(values)))


def typical_noise(noise_px: Floats) -> float:
    """Noise of a typical fit in pixels, a scalar, from that expected of each [pairs] (0: unknown)."""
    known = noise_px[noise_px > 0]
    return max(float(np.median(known)), LEAST_FIT_PX) if len(known) else UNKNOWN_FIT_PX


def noise_px(correlation: float) -> float:
    """Standard deviation of a fit by a change of tissue alone, in full-size pixels: 0.2 px at a correlation of 0.975.

    It grows with the square root of what two slices do not share.
    """
    return PX_PER_DIFFERENCE * float(np.sqrt(max(0.0, 1 / correlation - 1)))


def loops(z: Indices, w: Indices) -> Indices:
    """Loops of pairs of slices `z` [pairs] and `w` [pairs]: indices [loops, 3] of pairs.

    The pairs of a loop are slices (i, i+1), (i+1, i+2) and (i, i+2).
    """
    index = {pair: k for k, pair in enumerate(zip(z.tolist(), w.tolist(), strict=True))}
    triples = [
        (index[a, a + 1], index[a + 1, c], k)
        for (a, c), k in index.items()
        if c == a + 2 and (a, a + 1) in index and (a + 1, c) in index
    ]
    return np.array(triples, np.intp).reshape(-1, 3)


def pair_noise(
    closed: Indices, matrix: Floats, correlation: Floats, centre: Floats, radius: float, guess_px: float
) -> PairNoise:
    """Noise of one fit from the closure errors of loops, each of which sums up three fits.

    closed: loops [loops, 3]. matrix: [pairs, 3, 3]. correlation: [pairs]. centre: [2], (x, y) of the field in pixels.
    radius: half its diagonal, in pixels. guess_px: the noise if there are few loops.
    """
    if len(closed) < FEWEST_LOOPS:
        return PairNoise(guess_px, guess_px, 0.0, guess_px, known=False, sure=False)
    first, second, whole = matrix[closed.T]
    error = first @ second @ np.linalg.inv(whole)
    shift = error[:, :2, :2] @ centre + error[:, :2, 2] - centre
    linear = (error[:, :2, :2] - np.eye(2)) * radius
    shift_px, linear_px = (max(robust_std(e) / np.sqrt(3), LEAST_FIT_PX) for e in (shift, linear))
    most_px, sure = max(guess_px, 2 * shift_px), len(closed) >= SURE_LOOPS and guess_px < NOISY_PX
    return PairNoise(shift_px, linear_px, tissue_px(*correlation[closed.T]), most_px, sure=sure)


def tissue_px(first: Floats, second: Floats, whole: Floats) -> float:
    """Shift of tissue from slice to slice in pixels, a scalar, from the correlations [loops] of the fits of loops.

    Correlations of 0 are unknown, and so is a result of 0. Noise lowers all three by one factor, which the quotient
    cancels.
    """
    known = np.minimum(np.minimum(first, second), whole) > 0
    if not known.any():
        return 0.0
    return noise_px(float(np.median(whole[known] / np.sqrt(first[known] * second[known]))))


def find_jumps(offsets: Floats) -> NDArray[np.bool_]:
    """Steps, bool [slices - 1], between chained and recorded positions that stay.

    offsets: chained minus recorded positions [slices, columns] in pixels.
    A step is the difference of medians over eight slices on either side, so that single displaced slices are no
    steps. The largest step is taken first, as in binary segmentation; others near it are measured on their side of it.
    """
    size = _steps_px(offsets)
    least = LEAST_JUMP_PX
    if (size > 0).any():
        least = max(least, JUMP_SIGMAS * float(np.median(size[size > 0])) / RAYLEIGH_MEDIAN)
    cuts = [0, len(offsets)]
    while len(size) and size[i := int(size.argmax())] >= least:
        insort(cuts, _best_cut(offsets, _around(cuts, i)))
        for j in range(max(0, i - 2 * JUMP_WINDOW), min(len(size), i + 2 * JUMP_WINDOW)):
            size[j] = _step_px(offsets, j, _piece(cuts, j))
    jumps = np.zeros(len(size), np.bool_)
    jumps[np.array(_refine_cuts(offsets, cuts)[1:-1], np.intp) - 1] = True
    return jumps


def _refine_cuts(offsets: Floats, cuts: list[int]) -> list[int]:
    """Move each cut to the best place in `offsets` [slices, columns] between its neighbours; twice, as these move."""
    for k in [*range(1, len(cuts) - 1)] * 2:
        others = cuts[:k] + cuts[k + 1 :]
        cuts = [*cuts[:k], _best_cut(offsets, _around(others, cuts[k] - 1)), *cuts[k + 1 :]]
    return cuts


def _piece(cuts: list[int], i: int) -> tuple[int, int]:
    """Begin and end (exclusive) of the piece between cuts in which slice `i` lies."""
    at = bisect_right(cuts, i)
    return cuts[at - 1], cuts[at]


def _around(cuts: list[int], i: int) -> range:
    """Eight slices up to `i` and eight above it, within its piece."""
    begin, end = _piece(cuts, i)
    return range(max(begin, i + 1 - JUMP_WINDOW), min(end, i + 1 + JUMP_WINDOW))


def _steps_px(offsets: Floats) -> Floats:
    """`_step_px` [slices - 1] of `offsets` [slices, columns] without any cut: all at once but for the ends."""
    size, ends = np.zeros(len(offsets) - 1), list(range(len(offsets) - 1))
    if len(offsets) >= 2 * JUMP_WINDOW:
        middle = np.median(sliding_window_view(offsets, JUMP_WINDOW, axis=0), axis=-1)
        steps = middle[JUMP_WINDOW:] - middle[:-JUMP_WINDOW]
        size[JUMP_WINDOW - 1 : 1 - JUMP_WINDOW] = np.linalg.norm(steps, axis=1)
        ends = ends[: JUMP_WINDOW - 1] + ends[1 - JUMP_WINDOW :]
    size[ends] = [_step_px(offsets, i, (0, len(offsets))) for i in ends]
    return size


def _step_px(offsets: Floats, i: int, piece: tuple[int, int]) -> float:
    """Step in pixels after slice `i` of `offsets` [slices, columns], a scalar; 0 if there are too few slices.

    Steps between fewer than eight slices count less, as their medians scatter more.
    """
    below = offsets[max(piece[0], i + 1 - JUMP_WINDOW) : i + 1]
    above = offsets[i + 1 : min(piece[1], i + 1 + JUMP_WINDOW)]
    fewest = min(len(below), len(above))
    if fewest < FEWEST_AROUND_JUMP:
        return 0.0
    step = np.median(above, axis=0) - np.median(below, axis=0)
    return float(np.linalg.norm(step)) * float(np.sqrt(fewest / JUMP_WINDOW))


def _best_cut(offsets: Floats, around: range) -> int:
    """The slice before which to cut `offsets` [slices, columns]: both sides lie closest to their medians there."""

    def scatter(part: Floats) -> float:
        """Sum of distances of `part` [slices, columns] from its median, pixels."""
        return float(np.linalg.norm(part - np.median(part, axis=0), axis=1).sum())

    cuts = around[FEWEST_AROUND_JUMP : 1 - FEWEST_AROUND_JUMP]
    return min(cuts, key=lambda c: scatter(offsets[around.start : c]) + scatter(offsets[c : around.stop]))


def estimate_anchor(path: Floats, jumps: NDArray[np.bool_], fit_px: float, longest: float = np.inf) -> Anchor:
    """Jitter and walk from the spectra of `path` [slices, columns] between jumps, bool [slices - 1].

    path: chained minus recorded positions in pixels. fit_px: standard deviation by which it changes from slice to slice
    without any drift of the stage. longest: wavelengths above are left out, slices.
    Cosines (DCT-II) of a walk and of white jitter are independent and their variances are known up to two factors,
    which are found by maximum likelihood.
    """
    spectra = [_spectrum(piece, longest) for piece in np.split(path, np.flatnonzero(jumps) + 1)]
    power, roughness = (np.concatenate(s) for s in zip(*spectra, strict=True))
    if len(power) < FEWEST_WAVES:
        return no_anchor(fit_px)

    def unlikeliness(ratio: float) -> tuple[float, float, float]:
        """That of a ratio of both variances with the best jitter variance, which follows, and the walk's variance."""
        shape = 1 + ratio / roughness
        variance = float(np.mean(power / shape))
        return float(np.log(variance) + np.log(shape).mean()), variance, ratio * variance

    _, jitter, growth = min(map(unlikeliness, WALK_OVER_JITTER))
    walk = np.sqrt(max(0.0, growth - fit_px**2))
    return Anchor(max(float(np.sqrt(jitter)), fit_px), max(float(walk), STIFFEST_WALK * fit_px))


def _spectrum(piece: Floats, longest: float) -> tuple[Floats, Floats]:
    """Power [cosines] of `piece` [slices, columns], and that of differences between slices over it."""
    k = np.arange(int(2 * len(piece) / longest) + 1, len(piece))
    power = (dct(piece, axis=0, norm="ortho")[k] ** 2).mean(1)
    return np.maximum(power, LEAST_FIT_PX**2), 2 - 2 * np.cos(np.pi * k / len(piece))
