"""Compares two registered slices: the correlation of their tiles, that of chance, and what each of them occludes.

The correlation of a whole pair hardly falls if a tenth of a slice is covered or displaced. That of a tile does. Tiles
at different places show which correlation chance reaches: a permutation test.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import similarity
from clio_argo.kernels.features import Reduced
from clio_argo.kernels.fill import BORDER, Mask
from clio_argo.model.alignment import Floats

# 6 x 6 tiles: nine of ten correlate by 0.92 in good pairs, by 0.3 to 0.6 if rows are displaced by 6 to 20 px
TILES = 6
# chosen: less than a third of a tile holds too few structures; a tenth, so that three odd tiles of 36 do not count
LEAST_TILE, WORST_TILES = 0.3, 0.1
# 4 x 4 windows spread over the slice, 128 px of what is registered; the border that is masked may touch them
WINDOWS, WINDOW_PX, LEAST_WINDOW = 4, 64, 0.75
# slices are compared at half size (small ones excepted), where their masked border is half as wide
EDGE_PX = BORDER // 2
# below it both slices are as good as flat, and rounding alone correlates
LEAST_CHANCE = 1e-3
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Tiles:
    """How tiles of two registered slices correlate, -1 to 1: each of one slice with each of the other, [tiles, tiles].

    Those at the same place are on the diagonal. All others show what chance reaches: tissue of these two slices that
    has nothing in common.
    """

    correlations: Floats

    @property
    def worst(self) -> float:
        """Correlation that nine of ten tiles exceed; 0 without tiles."""
        same = np.diag(self.correlations)
        return float(np.quantile(same, WORST_TILES)) if len(same) else 0.0

    @property
    def sigmas(self) -> float:
        """Mean correlation of tiles at the same place above that of others, in standard deviations of such a mean."""
        count = len(self.correlations)
        if count < 2:
            return 0.0
        others = self.correlations[~np.eye(count, dtype=np.bool_)]
        above = np.diag(self.correlations).mean() - others.mean()
        return float(above / max(others.std(), LEAST_CHANCE) * count**0.5)


@dataclass(frozen=True)
class Comparison:
    """What two registered slices show of each other.

    occluded: fractions (0 to 1) of the common field that each slice does not show and the other does: (fixed, moving).
    displaced: how far windows of 64 px are displaced, [windows] in pixels of `fixed`; NaN where no shift stands out.
    """

    tiles: Tiles
    occluded: tuple[float, float]
    displaced: Plane

    @property
    def disagreement(self) -> tuple[float, int]:
        """How far windows are displaced, root mean square in pixels of `fixed`, 0 without any; and how many tell it."""
        found = self.displaced[np.isfinite(self.displaced)]
        return (float(np.sqrt((found**2).mean())) if len(found) else 0.0), len(found)


def compare(fixed: Reduced, moving: Reduced, matrix: Floats) -> Comparison:
    """Compare two slices in register.

    matrix: [2, 3], maps pixels of the reduced `moving` to pixels of the reduced `fixed`.
    """
    size = fixed.image.shape[::-1]
    moved = _warp(moving.image, matrix, size, cv2.INTER_LINEAR)
    moved_mask = _warp(moving.mask.astype(np.uint8), matrix, size, cv2.INTER_NEAREST) > 0
    common = _frame(fixed) & (_warp(_frame(moving).astype(np.uint8), matrix, size, cv2.INTER_NEAREST) > 0)
    area = max(int(common.sum()), 1)
    occluded = (
        float((common & moved_mask & ~fixed.mask).sum() / area),
        float((common & fixed.mask & ~moved_mask).sum() / area),
    )
    mask = fixed.mask & moved_mask
    tiles = correlate_tiles(fixed.image.astype(np.float32), moved.astype(np.float32), mask)
    return Comparison(tiles, occluded, displacement(fixed.image, moved, mask))


def displacement(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: Mask) -> Plane:
    """How far windows of two images [y, x] are displaced against each other, [windows] in pixels; see `Comparison`.

    Windows of which `mask` [y, x] leaves less than three quarters are left out.
    """
    tops, lefts = (np.linspace(0, s - WINDOW_PX, min(WINDOWS, s // WINDOW_PX)).astype(int) for s in mask.shape)
    corners = [np.s_[y : y + WINDOW_PX, x : x + WINDOW_PX] for y in tops for x in lefts]
    if not corners:
        return np.zeros(0, np.float32)
    covered = np.array([mask[corner].mean() > LEAST_WINDOW for corner in corners])
    one, other = (
        similarity.Tiles(np.stack([image[corner] for corner in corners]), covered, most_step=1) for image in (a, b)
    )
    return np.asarray(np.hypot(*similarity.displacement(one, other).T), np.float32)


def correlate_tiles(a: Plane, b: Plane, mask: Mask) -> Tiles:
    """Correlate each of 6 x 6 tiles of an image [y, x] with each of another.

    Pixels count where `mask` [y, x] is True. Tiles of which it leaves less than 30 % are left out.
    """
    if min(mask.shape) < TILES:
        return Tiles(np.zeros((0, 0)))
    weight = _cut(mask)
    n = weight.sum(1, keepdims=True)
    kept = n[:, 0] > LEAST_TILE * weight.shape[1]
    (a0, a1), (b0, b1) = (_centred(_cut(plane), weight, np.maximum(n, 1)) for plane in (a, b))
    return Tiles(((a0 @ b0.T) / np.outer(a1, b1))[np.ix_(kept, kept)].astype(np.float64))


def _centred(tiles: Plane, weight: Plane, count: Plane) -> tuple[Plane, Plane]:
    """Tiles [tiles, pixels] with mean 0 where `weight` [tiles, pixels] is 1, and 0 elsewhere; their lengths [tiles]."""
    tiles -= np.einsum("tp,tp->t", tiles, weight)[:, None] / count
    tiles *= weight
    # the limit is far below one squared grey level: flat tiles correlate by 0 instead of dividing by 0
    return tiles, np.sqrt(np.maximum(np.einsum("tp,tp->t", tiles, tiles), 1e-3 * count[:, 0]))


def _cut(plane: Plane | Mask) -> Plane:
    """The 6 x 6 tiles [36, pixels] of an image [y, x]; rows and columns that fill no tile are cut off."""
    height, width = (s // TILES for s in plane.shape)
    whole = plane[: TILES * height, : TILES * width].reshape(TILES, height, TILES, width)
    return np.ascontiguousarray(whole.swapaxes(1, 2), np.float32).reshape(TILES * TILES, -1)


def _frame(reduced: Reduced) -> Mask:
    """Mask [y, x] of the whole slice without its border, where masks are False anyway."""
    inside = np.zeros(reduced.image.shape, np.bool_)
    inside[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = True
    return inside


def _warp(image: NDArray[np.uint8], matrix: Floats, size: tuple[int, ...], method: int) -> NDArray[np.uint8]:
    """Resample `image` [y, x] by `matrix` [2, 3] to `size` (width, height); `method` is OpenCV's interpolation."""
    return np.asarray(cv2.warpAffine(image, matrix, (size[0], size[1]), flags=method), np.uint8)
