"""How two slices agree once they are in register: tile by tile, and what one of them hides.

The correlation of a whole pair hardly falls when a tenth of a slice is covered or displaced; that of a tile does.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Mask, Reduced
from clio_argo.model.alignment import Floats

TILES, LEAST_TILE, WORST_TILES = 6, 0.3, 0.1
EDGE_PX = 4
Picture = NDArray[np.float32]


def compare(fixed: Reduced, moving: Reduced, matrix: Floats) -> tuple[float, tuple[float, float]]:
    """Agreement and hidden fractions (see PairFit); `matrix` (2x3) maps pixels of the reduced `moving` to `fixed`."""
    size = fixed.image.shape[::-1]
    moved = _warped(moving.image, matrix, size, cv2.INTER_LINEAR).astype(np.float32)
    there = _warped(moving.mask.astype(np.uint8), matrix, size, cv2.INTER_NEAREST) > 0
    common = _frame(fixed) & (_warped(_frame(moving).astype(np.uint8), matrix, size, cv2.INTER_NEAREST) > 0)
    both, field = fixed.mask & there, max(int(common.sum()), 1)
    tiles = tile_correlations(fixed.image.astype(np.float32), moved, both)
    hidden = (
        float((common & there & ~fixed.mask).sum() / field),
        float((common & fixed.mask & ~there).sum() / field),
    )
    return (float(np.quantile(tiles, WORST_TILES)) if len(tiles) else 0.0), hidden


def tile_correlations(a: Picture, b: Picture, mask: Mask) -> Floats:
    """Correlation of two images within each of 6 x 6 tiles that the mask leaves 30 % of."""
    weight = mask.astype(np.float32)
    n = _tile_means(weight)
    kept = n > LEAST_TILE
    a0, b0, aa, bb, ab = (_tile_means(v * weight)[kept] / n[kept] for v in (a, b, a * a, b * b, a * b))
    spread = np.maximum((aa - a0 * a0) * (bb - b0 * b0), 1e-6)
    return np.asarray((ab - a0 * b0) / np.sqrt(spread), np.float64)


def _tile_means(values: Picture) -> Floats:
    # whole numbers of pixels a tile: means of fractions take five times as long
    height, width = (max(1, s // TILES) * TILES for s in values.shape)
    return np.asarray(
        cv2.resize(values[:height, :width], (TILES, TILES), interpolation=cv2.INTER_AREA), np.float64
    )


def _frame(reduced: Reduced) -> Mask:
    """The whole slice but for its border, where masks are False anyway."""
    inside = np.zeros(reduced.image.shape, np.bool_)
    inside[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = True
    return inside


def _warped(image: NDArray[np.uint8], matrix: Floats, size: tuple[int, ...], how: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.warpAffine(image, matrix, (size[0], size[1]), flags=how), np.uint8)
