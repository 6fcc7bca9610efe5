"""Places a short stack at the mean over all that may have moved it.

A few fits tell neither how noisy they are nor how the stage moves: a walk of the stage and noise of fits make the same
chain. So no single guess of them is believed. Each combination of noise, walk and jitter (see `anchor`) places all
slices, and counts by how likely it makes what the fits measured: Gaussian process regression, its parameters
integrated over a grid (Rasmussen and Williams, 2006, chapter 5). Tissue moves as well, slowly where it runs obliquely.
Where what is expected would be wrong if the fits were right, and they may be, slices are moved less.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from clio_argo.kernels.anchor import JUMP_SIGMAS, LEAST_JUMP_PX, RAYLEIGH_MEDIAN
from clio_argo.kernels.noise import LEAST_FIT_PX
from clio_argo.model.alignment import Floats

# of noise, walk and jitter; more of them change places of random stacks by less than 0.02 px (median)
STEPS = 8
# chosen: what noise may be at least, as part of what correlations allow; movements a stage may make at least, and most
LEAST_NOISE, LEAST_MOVE_PX, MOST_MOVE_PX = 0.03, 0.1, 6.4
# speeds at which tissue may run, px a slice, and how often: the medulla has 0.05, oblique tissue 0.3
OBLIQUE = ((0.05, 0.98), (0.3, 0.02))
# chosen: a stage that walks also drifts, at a fifth of its steps' size; one that stays does not, however tissue runs
PERSISTENT = 0.05
# px by which slices may end further from their places than by fits alone (median), and how likely they may end beyond
MOST_LOST_PX, RISK = 0.5, 0.02
# parts of the way from fits alone to what is expected
PARTS = np.linspace(0, 1, 21)
# variance of a jump, px^2: as good as free, and far from the limits of double precision
FREE_PX2 = 1e6


@dataclass(frozen=True)
class Measured:
    """Differences of positions between the slices of pairs, as fits measured them, and how sure these are.

    across: [pairs, slices], takes such differences. differences: [pairs, columns], pixels. noise: [pairs], relative to
    a typical fit; most_px: that of a typical fit at most. tissue_px: by how much tissue moves from slice to slice.
    """

    across: Floats
    differences: Floats
    noise: Floats
    most_px: float
    tissue_px: float


def with_large_steps(path: Floats, jumps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`jumps`, bool [slices - 1], and all steps of `path` [slices, columns], pixels, that stand out of the others."""
    size = np.linalg.norm(np.diff(path, axis=0), axis=1)
    return np.asarray(jumps | (size > max(LEAST_JUMP_PX, JUMP_SIGMAS * float(np.median(size)) / RAYLEIGH_MEDIAN)))


def expected_positions(fits: Measured, chain: Floats, jumps: NDArray[np.bool_], curve_slices: float) -> Floats:
    """Positions [slices, columns] in pixels, weighted by the likelihood of what may have moved them.

    chain: positions by fits alone [slices, columns], from which slices go as far as the risk allows. jumps: steps that
    may be of any size, bool [slices - 1]. curve_slices: over which the speed of tissue persists.
    """
    logs, paths = zip(*_each(fits, jumps, curve_slices), strict=True)
    weights = np.exp(np.array(logs) - max(logs))
    weights, each = weights / weights.sum(), np.stack(paths)
    way = np.tensordot(weights, each, 1) - chain
    lost = np.stack([_apart(chain + part * way, each) for part in PARTS]) - _apart(chain, each)
    is_safe = (lost > MOST_LOST_PX) @ weights <= RISK
    # nothing is lost at the chain itself
    return np.asarray(chain + PARTS[np.argmin([*is_safe, False]) - 1] * way)


def _apart(path: Floats, each: Floats) -> Floats:
    """Median distance of slices on `path` [slices, columns] from each of paths [n, ...]; a shift of all is free."""
    away = path - each
    return np.asarray(np.median(np.linalg.norm(away - np.median(away, 1, keepdims=True), axis=2), axis=1))


def _each(fits: Measured, jumps: NDArray[np.bool_], curve_slices: float) -> Iterator[tuple[float, Floats]]:
    """Log likelihood and positions [slices, columns] of each combination."""
    walk, white, free, slow = _covariances(jumps, curve_slices)
    moves, columns = _moves(fits), fits.differences.shape[1]
    noises = np.geomspace(LEAST_NOISE, 1, STEPS) * fits.most_px + LEAST_FIT_PX
    noises_a = [np.diag((px * fits.noise) ** 2) for px in noises]
    for (speed, often), jitter, step in product(OBLIQUE, moves, moves):
        stage = step**2 * (walk + PERSISTENT * slow) + jitter**2 * white + free
        moved_a = fits.across @ (stage + fits.tissue_px**2 * walk + speed**2 * slow) @ fits.across.T
        for noise_a in noises_a:
            # a thousand small systems: the checks of scipy's other functions take longer than solving them
            factor, pull, fault = dposv(moved_a + noise_a, fits.differences)
            if fault:
                raise np.linalg.LinAlgError(f"covariance {fault} of fits is not positive")
            log = -0.5 * float((fits.differences * pull).sum()) - columns * float(np.log(factor.diagonal()).sum())
            yield log + np.log(often), stage @ (fits.across.T @ pull)


def _covariances(jumps: NDArray[np.bool_], curve_slices: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Covariances [slices, slices] of a walk, of jitter, of jumps and of a path whose speed persists, 1 px each."""
    z = np.arange(len(jumps) + 1)
    walk = np.minimum.outer(z, z).astype(np.float64)
    after = np.vstack([np.zeros((1, jumps.sum())), np.cumsum(np.eye(len(jumps))[:, jumps], axis=0)])
    persistent = np.exp(-0.5 * (np.subtract.outer(z, z) / curve_slices) ** 2)
    return walk, np.eye(len(z)), FREE_PX2 * after @ after.T, np.cumsum(np.cumsum(persistent, 0), 1)


def _moves(fits: Measured) -> Floats:
    """Sizes [moves] of walk and jitter to try, pixels."""
    typical = float(np.median(np.linalg.norm(fits.differences, axis=1)))
    sizes = np.geomspace(LEAST_MOVE_PX, max(MOST_MOVE_PX, 2 * typical), STEPS - 1)
    return np.array([LEAST_FIT_PX, *sizes])
