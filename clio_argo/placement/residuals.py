"""How far the places of slices are from what the links between them ask for."""

from collections.abc import Sequence

import numpy as np

from clio_argo.model.alignment import Floats, PairFit, Transforms, apply, corners


def disagreement_px(transforms: Transforms, width: int, height: int) -> list[tuple[int, int, float]]:
    """Between each two neighbouring placed slices: their numbers, and the distance of the link that agrees best.

    A link agrees as far as it takes the corners and the centre of a field of width x height pixels to where the two
    slices lie (mean distance, pixels). Of all links that cross one that agrees is enough: the others are outliers.
    Neighbours that no link crosses are left out; they are breaks.
    """
    placed = {s.z: s.matrix for s in transforms.slices if s.matrix is not None and not s.flagged}
    numbers = sorted(placed)
    links = [f for f in transforms.fits if f.found and f.z0 in placed and f.z1 in placed]
    best = np.full(max(len(numbers) - 1, 0), np.inf)
    low = np.searchsorted(numbers, [f.z0 for f in links])
    high = np.searchsorted(numbers, [f.z1 for f in links])
    errors = _errors(transforms, links, width, height)
    for step in range(int((high - low).max(initial=0))):
        crossing = low + step < high
        np.minimum.at(best, low[crossing] + step, errors[crossing])
    pairs = zip(numbers, numbers[1:], best.tolist(), strict=False)
    return [(below, above, error) for below, above, error in pairs if np.isfinite(error)]


def _errors(transforms: Transforms, links: Sequence[PairFit], width: int, height: int) -> Floats:
    """Error [pairs] of each fit against the places of its two slices, in pixels."""
    points = np.concatenate([corners(width, height), [[(width - 1) / 2, (height - 1) / 2]]])
    matrices = {s.z: s.matrix for s in transforms.slices}
    return np.array([_error(points, matrices[f.z0], matrices[f.z1], f.matrix) for f in links], np.float64)


def _error(points: Floats, *matrices: object) -> float:
    """Mean distance in pixels between where two slices put `points` [n, 2] (x, y) of the moving one.

    matrices: of the fixed slice, of the moving slice (both to the canvas), and of the fit (moving to fixed), 2x3 each.
    """
    fixed, moving, link = (np.array(m, np.float64) for m in matrices)
    return float(np.hypot(*(apply(moving, points) - apply(fixed, apply(link, points))).T).mean())
