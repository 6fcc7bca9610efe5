"""Estimates from the stack itself how far recorded positions can be trusted.

Chained fits drift as a random walk. Recorded positions (the raw image frames) do not, unless the stage does.
The position x of a slice is modelled as recorded + q + jitter, with a random walk q. Between jumps, the power of
chained minus recorded positions at a wavelength of L slices is jitter^2 + (fit^2 + walk^2) / (2 - 2 cos(2 pi / L)), so
both are read off the spectrum: what grows beyond what fits and tissue add up is the drift of the stage. A stage that
stays has a stiff q, which stops the random walk. A stage that drifts has a loose q, which holds nothing. Across a jump
q is free.
"""

from bisect import bisect_right, insort
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import dct

from clio_argo.kernels.noise import LEAST_FIT_PX
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
# chosen: with fewer cosines for two unknowns, short stacks were pulled 0.9 px off (benchmarks, short)
FEWEST_WAVES = 16
# of a fit's noise: a walk that adds up to it in 10,000 slices; as good as free, far from the limits of double precision
STIFFEST_WALK, LOOSE = 1e-2, 1e4


@dataclass(frozen=True)
class Anchor:
    """Standard deviations in pixels: of a recorded position, of its drift from slice to slice, and of all drift.

    They are scalars, equal for all slices and axes.
    """

    jitter_px: float
    walk_px: float
    hold_px: float = np.inf


def no_anchor(fit_px: float) -> Anchor:
    """An anchor that holds nothing: fits alone decide."""
    return Anchor(LOOSE * fit_px, LOOSE * fit_px)


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
