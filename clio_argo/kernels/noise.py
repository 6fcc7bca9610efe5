"""How far fits of slices scatter.

Loops of fits show the noise of fits, but not how far tissue itself moves from slice to slice, since all fits agree
on that. The similarity of slices shows it: noise makes any two slices less similar once, tissue does so with each
slice between them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clio_argo.model.alignment import Floats

# chosen: with fewer loops short stacks were pulled 0.9 px off (benchmarks, short)
FEWEST_LOOPS = 3
# chosen: half a pixel is what a short stack may lose; neighbours of 8 nm have 0.2, with 8 grey levels of noise 0.5
SURE_LOOPS, NOISY_PX = 8, 0.5
# the noise at a correlation of 0.975 (neighbours of 8 nm); ten times the rounding of offsets, for fits without noise
UNKNOWN_FIT_PX, LEAST_FIT_PX = 0.2, 1e-3
# times the root of what two slices do not share, 1 / correlation - 1; as measured on undistorted slices
PX_PER_DIFFERENCE = 1.3
Indices = NDArray[np.intp]


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
