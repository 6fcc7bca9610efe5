"""How far recorded positions can be trusted, learnt from the stack itself.

Chained links drift as a random walk; recorded positions (the raw image frames) do not, unless the stage does.
A slice's place x is modelled as recorded + q + jitter, with a walk q. The variance of chained minus recorded
positions at lag L is 2 jitter^2 + L (link^2 + walk^2): what grows beyond what links and tissue add up is the
stage's drift. A stage that stays has a stiff q, which stops the random walk; one that drifts has a loose q, and
the anchor lets go. Across a jump q is free.

Loops tell the noise of links, but not how far tissue itself moves from slice to slice: all links agree on that.
It is read off the likeness of slices: noise makes any two slices less alike, tissue does so more with each slice
between them.
"""

from bisect import bisect_right, insort
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from clio_argo.model.alignment import Floats

LAGS = (1, 2, 4, 8, 16, 32, 64, 128)
JUMP_WINDOW, FEWEST_AROUND_JUMP = 8, 3
JUMP_SIGMAS, LEAST_JUMP_PX = 6.0, 3.0
RAYLEIGH_MEDIAN = 1.1774
FEWEST_LOOPS = 8
UNKNOWN_LINK_PX = 0.2
LEAST_LINK_PX = 1e-3
STIFFEST_WALK, LOOSE = 1e-2, 1e4
FEWEST_LAGS = 3
# of what two slices do not share, 1 / correlation - 1; as measured on undistorted slices
PX_PER_DIFFERENCE = 1.3
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Anchor:
    """Standard deviations in pixels: of a recorded position, of its drift from slice to slice, and of all drift."""

    jitter_px: float
    walk_px: float
    hold_px: float = np.inf


@dataclass(frozen=True)
class LinkNoise:
    """Standard deviations of a link in pixels: at the centre, and of its linear part at the border.

    tissue_px: of the shift at the centre that tissue alone makes from slice to slice.
    """

    shift_px: float
    linear_px: float
    tissue_px: float


def no_anchor(link_px: float) -> Anchor:
    """One that holds nothing: links alone decide."""
    return Anchor(LOOSE * link_px, LOOSE * link_px)


def spread_of(values: Floats) -> float:
    """Standard deviation of normal values with outliers (median of absolute values)."""
    return float(1.4826 * np.median(np.abs(values)))


def guessed_noise(noise_px: Floats) -> float:
    """Noise of a typical link in pixels, from what is expected of each (0: unknown)."""
    known = noise_px[noise_px > 0]
    return max(float(np.median(known)), LEAST_LINK_PX) if len(known) else UNKNOWN_LINK_PX


def noise_px(correlation: float) -> float:
    """Standard deviation of a fit by a change of tissue alone, in full-size pixels: 0.2 px at a correlation of 0.975.

    It grows with the part of the image that two slices do not share.
    """
    return PX_PER_DIFFERENCE * float(np.sqrt(max(0.0, 1 / correlation - 1)))


def loops(z: Indices, w: Indices) -> Indices:
    """Links [n, 3] from i to i+1, from i+1 to i+2, and from i to i+2, of links from slices `z` to slices `w`."""
    index = {pair: k for k, pair in enumerate(zip(z.tolist(), w.tolist(), strict=True))}
    found = [
        (index[a, a + 1], index[a + 1, c], k)
        for (a, c), k in index.items()
        if c == a + 2 and (a, a + 1) in index and (a + 1, c) in index
    ]
    return np.array(found, np.intp).reshape(-1, 3)


def link_noise(
    closed: Indices, matrix: Floats, correlation: Floats, centre: Floats, radius: float, guess_px: float
) -> LinkNoise:
    """Noise of one link from loops, each of which sums up three; the guess where there are few."""
    if len(closed) < FEWEST_LOOPS:
        return LinkNoise(guess_px, guess_px, 0.0)
    first, second, whole = matrix[closed.T]
    error = first @ second @ np.linalg.inv(whole)
    shift = error[:, :2, :2] @ centre + error[:, :2, 2] - centre
    linear = (error[:, :2, :2] - np.eye(2)) * radius
    shift_px, linear_px = (max(spread_of(e) / np.sqrt(3), LEAST_LINK_PX) for e in (shift, linear))
    return LinkNoise(shift_px, linear_px, tissue_px(*correlation[closed.T]))


def tissue_px(first: Floats, second: Floats, whole: Floats) -> float:
    """Shift of tissue from slice to slice, from correlations of the links of loops (0: unknown)."""
    known = np.minimum(np.minimum(first, second), whole) > 0
    if not known.any():
        return 0.0
    return noise_px(float(np.median(whole[known] / np.sqrt(first[known] * second[known]))))


def find_jumps(offsets: Floats) -> NDArray[np.bool_]:
    """Steps [slices - 1] between chained and recorded positions [slices, columns] that stay.

    A step is the difference of medians over eight slices on either side, so that single slices out of place are
    none. The largest is taken first; others near it are measured without looking across it.
    """
    size = _steps_px(offsets)
    least = LEAST_JUMP_PX
    if (size > 0).any():
        least = max(least, JUMP_SIGMAS * float(np.median(size[size > 0])) / RAYLEIGH_MEDIAN)
    cuts = [0, len(offsets)]
    while len(size) and size[i := int(size.argmax())] >= least:
        insort(cuts, _sharpest(offsets, _around(cuts, i)))
        for j in range(max(0, i - 2 * JUMP_WINDOW), min(len(size), i + 2 * JUMP_WINDOW)):
            size[j] = _step_px(offsets, j, _piece(cuts, j))
    jumps = np.zeros(len(size), np.bool_)
    jumps[np.array(_settled(offsets, cuts)[1:-1], np.intp) - 1] = True
    return jumps


def _settled(offsets: Floats, cuts: list[int]) -> list[int]:
    """The same cuts, each where it is sharpest now that its neighbours are known; twice, since these move too."""
    for k in [*range(1, len(cuts) - 1)] * 2:
        others = cuts[:k] + cuts[k + 1 :]
        cuts = [*cuts[:k], _sharpest(offsets, _around(others, cuts[k] - 1)), *cuts[k + 1 :]]
    return cuts


def _piece(cuts: list[int], i: int) -> tuple[int, int]:
    """First slice, and the one after the last, of the piece between cuts in which slice `i` lies."""
    at = bisect_right(cuts, i)
    return cuts[at - 1], cuts[at]


def _around(cuts: list[int], i: int) -> range:
    """Eight slices up to `i` and eight above it, within its piece."""
    low, high = _piece(cuts, i)
    return range(max(low, i + 1 - JUMP_WINDOW), min(high, i + 1 + JUMP_WINDOW))


def _steps_px(offsets: Floats) -> Floats:
    """`_step_px` after every slice but the last, with nothing cut: all at once but for the ends."""
    size, ends = np.zeros(len(offsets) - 1), list(range(len(offsets) - 1))
    if len(offsets) >= 2 * JUMP_WINDOW:
        middle = np.median(sliding_window_view(offsets, JUMP_WINDOW, axis=0), axis=-1)
        steps = middle[JUMP_WINDOW:] - middle[:-JUMP_WINDOW]
        size[JUMP_WINDOW - 1 : 1 - JUMP_WINDOW] = np.linalg.norm(steps, axis=1)
        ends = ends[: JUMP_WINDOW - 1] + ends[1 - JUMP_WINDOW :]
    size[ends] = [_step_px(offsets, i, (0, len(offsets))) for i in ends]
    return size


def _step_px(offsets: Floats, i: int, piece: tuple[int, int]) -> float:
    """Step after slice `i`, as sure as one between eight slices on either side; 0 where there are too few."""
    below = offsets[max(piece[0], i + 1 - JUMP_WINDOW) : i + 1]
    above = offsets[i + 1 : min(piece[1], i + 1 + JUMP_WINDOW)]
    fewest = min(len(below), len(above))
    if fewest < FEWEST_AROUND_JUMP:
        return 0.0
    step = np.median(above, axis=0) - np.median(below, axis=0)
    return float(np.linalg.norm(step)) * float(np.sqrt(fewest / JUMP_WINDOW))


def _sharpest(offsets: Floats, around: range) -> int:
    """The slice before which to cut so that both sides lie closest to their medians (sum of distances)."""

    def unrest(part: Floats) -> float:
        return float(np.linalg.norm(part - np.median(part, axis=0), axis=1).sum())

    cuts = around[FEWEST_AROUND_JUMP : 1 - FEWEST_AROUND_JUMP]
    return min(cuts, key=lambda c: unrest(offsets[around.start : c]) + unrest(offsets[c : around.stop]))


def estimate_anchor(offsets: Floats, jumps: NDArray[np.bool_], link_px: float) -> Anchor:
    """Jitter and walk from chained minus recorded positions [slices, columns], within the pieces between jumps.

    link_px: what these gain from slice to slice without any drift of the stage.
    """
    piece = np.concatenate([[0], np.cumsum(jumps)])
    lags, variances = [], []
    for lag in (g for g in LAGS if 4 * g < len(offsets)):
        step = (offsets[lag:] - offsets[:-lag])[piece[lag:] == piece[:-lag]]
        if len(step) > FEWEST_LOOPS:
            lags.append(float(lag))
            # columns may differ: the frames of a stack may stretch along one axis alone
            variances.append(max(float(np.mean([spread_of(c) ** 2 for c in step.T])), LEAST_LINK_PX**2))
    if len(lags) < FEWEST_LAGS:
        return no_anchor(link_px)
    model = np.stack([np.full(len(lags), 2.0), lags], 1) / np.array(variances)[:, None]
    jitter, growth = _not_negative(model)
    walk = np.sqrt(max(0.0, growth - link_px**2))
    return Anchor(max(float(np.sqrt(jitter)), link_px), max(float(walk), STIFFEST_WALK * link_px))


def _not_negative(model: Floats) -> tuple[float, float]:
    """The two numbers, neither below 0, that bring `model` [equations, 2] nearest to 1.

    For two unknowns it is as short as calling scipy.optimize.nnls, which takes half a second to import.
    """
    best = np.linalg.lstsq(model, np.ones(len(model)), rcond=None)[0]
    if best.min() < 0:
        alone = np.diag(np.maximum(0, model.sum(0) / (model**2).sum(0)))
        best = min(alone, key=lambda one: float(np.sum((model @ one - 1) ** 2)))
    return float(best[0]), float(best[1])
