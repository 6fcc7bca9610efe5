"""What tissue alone does to an alignment, and the least that any estimate of shifts can leave of it.

Neighbouring slices show other tissue. What runs obliquely moves the best fit though no slice has moved, and as it
runs on for tens of slices, these shifts add up; a stage that drifts smoothly looks the same.
"""

from collections.abc import Set

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources import real_volume
from benchmarks.truth import Pair, pair_error
from clio_argo.kernels.features import reduce_slice
from clio_argo.kernels.match import Model, fit_pair
from clio_argo.model.alignment import Floats, homogeneous

# of the stacks: how the stage's velocity goes on from slice to slice, and what counts as slow when scored
SMOOTH, WINDOW = 0.9, 31
CORRELATED_SLICES, DRAWS = 25, 300


def alone(pairs: Set[Pair]) -> dict[Pair, float]:
    """Error of the affine that fits each pair of undistorted slices best: none of them moved, tissue did."""
    volume = real_volume()
    height, width = volume.shape[1:]
    still = {k: np.eye(3) for pair in pairs for k in pair}
    return {
        p: pair_error(still, {p[0]: np.eye(3), p[1]: matrix}, p, height, width)
        for p, matrix in _fitted(volume, pairs, "affine").items()
    }


def _fitted(volume: NDArray[np.uint8], pairs: Set[Pair], model: Model) -> dict[Pair, Floats]:
    seen = {k: reduce_slice(volume[k], volume.shape[:0:-1]) for k in sorted({k for p in pairs for k in p})}
    return {(a, b): homogeneous(fit_pair(seen[a], seen[b], a, b, model).matrix or ()) for a, b in sorted(pairs)}


def least_detrended(jitter_px: float, drift_px: float) -> tuple[float, float]:
    """Detrended error of undistorted tissue in a stack whose stage jitters and drifts: as chained, and at best.

    The best is Gaussian regression (Wiener) of the shifts that tissue adds up from all chained shifts of the stack,
    by one who knows the covariances of stage and tissue; nothing turns or jumps, no slice is bad.
    """
    steps = _steps()
    tissue, lags = np.cumsum(steps, 0), np.arange(len(steps))
    flow = _added_up(_autocovariance(steps))
    stage = _added_up(drift_px**2 * SMOOTH**lags) + jitter_px**2 * np.eye(len(steps))
    gain, root, random = (flow @ np.linalg.inv(flow + stage), np.linalg.cholesky(stage), np.random.default_rng(0))
    chained = [root @ random.normal(size=tissue.shape) + tissue for _ in range(DRAWS)]
    return _detrended(tissue), float(np.median([_detrended(tissue - gain @ c) for c in chained]))


def _steps() -> Floats:
    """Shifts [slices - 1, 2] between undistorted neighbours, where the right ones are 0."""
    volume = real_volume()
    pairs = {(k, k + 1) for k in range(len(volume) - 1)}
    return np.array([matrix[:2, 2] for matrix in _fitted(volume, pairs, "translation").values()])


def _autocovariance(steps: Floats) -> Floats:
    """By lag, mean of both axes; long lags, of which a short stack knows little, fade out."""
    count, moved = len(steps), steps - steps.mean(0)
    sums = np.array([(moved[: count - k] * moved[k:]).sum() / (2 * count) for k in range(count)])
    return np.asarray(sums * np.clip(1 - np.arange(count) / CORRELATED_SLICES, 0, 1))


def _added_up(by_lag: Floats) -> Floats:
    """Covariance of the sums of steps whose covariance depends on their lag."""
    lag = np.abs(np.subtract.outer(np.arange(len(by_lag)), np.arange(len(by_lag))))
    add = np.tril(np.ones_like(lag))
    return np.asarray(add @ by_lag[lag] @ add.T)


def _detrended(shifts: Floats) -> float:
    """As the stacks are scored: median distance from the running mean, for shifts of all slices but the first."""
    half = WINDOW // 2
    path = np.pad(np.vstack([np.zeros(2), shifts]), ((half, half), (0, 0)), mode="edge")
    slow = np.stack([np.convolve(c, np.full(WINDOW, 1 / WINDOW), "valid") for c in path.T], 1)
    return float(np.median(np.linalg.norm(path[half:-half] - slow, axis=1)))
