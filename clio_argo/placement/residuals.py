"""How far the matrices of slices are from the fits of their pairs."""

from collections.abc import Sequence

import numpy as np

from clio_argo.model.alignment import Floats, PairFit, Transforms, apply, corners


def disagreement_px(transforms: Transforms, width: int, height: int) -> list[tuple[int, int, float]]:
    """Numbers of each two neighbouring placed slices, and the error in pixels of the best fit that crosses there.

    The error of a fit is the mean distance between where it and where the matrices of its two slices put the corners
    and the centre of a field of width x height pixels. Neighbours that no fit crosses are left out; they are breaks.
    """
    placed = {s.z: s.matrix for s in transforms.slices if s.matrix is not None and not s.flagged}
    numbers = sorted(placed)
    fits = [f for f in transforms.fits if f.matched and f.z0 in placed and f.z1 in placed]
    best = np.full(max(len(numbers) - 1, 0), np.inf)
    low = np.searchsorted(numbers, [f.z0 for f in fits])
    high = np.searchsorted(numbers, [f.z1 for f in fits])
    errors = _errors(transforms, fits, width, height)
    for step in range(int((high - low).max(initial=0))):
        crossing = low + step < high
        # the best one: outliers do no harm as long as one fit agrees
        np.minimum.at(best, low[crossing] + step, errors[crossing])
    pairs = zip(numbers, numbers[1:], best.tolist(), strict=False)
    return [(below, above, error) for below, above, error in pairs if np.isfinite(error)]


def _errors(transforms: Transforms, fits: Sequence[PairFit], width: int, height: int) -> Floats:
    """Error [pairs] of each fit against the matrices of its two slices, in pixels."""
    points = np.concatenate([corners(width, height), [[(width - 1) / 2, (height - 1) / 2]]])
    matrices = {s.z: s.matrix for s in transforms.slices}
    return np.array([_error(points, matrices[f.z0], matrices[f.z1], f.matrix) for f in fits], np.float64)


def _error(points: Floats, *matrices: object) -> float:
    """Mean distance in pixels between where two slices put `points` [n, 2], (x, y) of the moving one.

    matrices: of the fixed slice, of the moving slice (both to the canvas), and of the fit (moving to fixed), 2x3 each.
    """
    fixed, moving, fit = (np.array(m, np.float64) for m in matrices)
    return float(np.hypot(*(apply(moving, points) - apply(fixed, apply(fit, points))).T).mean())
