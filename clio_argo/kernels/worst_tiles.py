"""Compares two registered slices: the correlation of their worst tiles, and what each of them occludes.

The correlation of a whole pair hardly falls if a tenth of a slice is covered or displaced. That of a tile does.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Reduced
from clio_argo.kernels.fill import BORDER, Mask
from clio_argo.model.alignment import Floats

# 6 x 6 tiles: nine of ten correlate by 0.92 in good pairs, by 0.3 to 0.6 if rows are displaced by 6 to 20 px
TILES = 6
# chosen: less than a third of a tile holds too few structures; a tenth, so that three odd tiles of 36 do not count
LEAST_TILE, WORST_TILES = 0.3, 0.1
# slices are compared at half size (small ones excepted), where their masked border is half as wide
EDGE_PX = BORDER // 2
Plane = NDArray[np.float32]


def compare(fixed: Reduced, moving: Reduced, matrix: Floats) -> tuple[float, tuple[float, float]]:
    """Correlation that nine of ten tiles exceed, and the fractions of the common field that each slice occludes.

    matrix: [2, 3], maps pixels of the reduced `moving` to pixels of the reduced `fixed`.
    A slice occludes what it does not show and the other does: (fixed, moving), 0 to 1.
    """
    size = fixed.image.shape[::-1]
    moved = _warp(moving.image, matrix, size, cv2.INTER_LINEAR).astype(np.float32)
    moved_mask = _warp(moving.mask.astype(np.uint8), matrix, size, cv2.INTER_NEAREST) > 0
    common = _frame(fixed) & (_warp(_frame(moving).astype(np.uint8), matrix, size, cv2.INTER_NEAREST) > 0)
    area = max(int(common.sum()), 1)
    tiles = tile_correlations(fixed.image.astype(np.float32), moved, fixed.mask & moved_mask)
    occluded = (
        float((common & moved_mask & ~fixed.mask).sum() / area),
        float((common & fixed.mask & ~moved_mask).sum() / area),
    )
    return (float(np.quantile(tiles, WORST_TILES)) if len(tiles) else 0.0), occluded


def tile_correlations(a: Plane, b: Plane, mask: Mask) -> Floats:
    """Correlations [tiles], -1 to 1, of two images [y, x] within each of 6 x 6 tiles.

    Pixels count where `mask` [y, x] is True. Tiles of which it leaves less than 30 % are left out.
    """
    weight = mask.astype(np.float32)
    n = _tile_means(weight)
    kept = n > LEAST_TILE
    a0, b0, aa, bb, ab = (_tile_means(v * weight)[kept] / n[kept] for v in (a, b, a * a, b * b, a * b))
    # the limit is far below one squared grey level: flat tiles correlate by 0 instead of dividing by 0
    variance = np.maximum((aa - a0 * a0) * (bb - b0 * b0), 1e-6)
    return np.asarray((ab - a0 * b0) / np.sqrt(variance), np.float64)


def _tile_means(values: Plane) -> Floats:
    """Means [6, 6] of the tiles of an image [y, x]; rows and columns that fill no tile are cut off."""
    # whole numbers of pixels a tile: means of fractions take five times as long
    height, width = (max(1, s // TILES) * TILES for s in values.shape)
    return np.asarray(cv2.resize(values[:height, :width], (TILES, TILES), interpolation=cv2.INTER_AREA), np.float64)


def _frame(reduced: Reduced) -> Mask:
    """Mask [y, x] of the whole slice without its border, where masks are False anyway."""
    inside = np.zeros(reduced.image.shape, np.bool_)
    inside[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = True
    return inside


def _warp(image: NDArray[np.uint8], matrix: Floats, size: tuple[int, ...], method: int) -> NDArray[np.uint8]:
    """Resample `image` [y, x] by `matrix` [2, 3] to `size` (width, height); `method` is OpenCV's interpolation."""
    return np.asarray(cv2.warpAffine(image, matrix, (size[0], size[1]), flags=method), np.uint8)
