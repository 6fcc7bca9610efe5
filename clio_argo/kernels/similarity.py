"""Similarity of neighbouring planes of the rendered volume, sampled in tiles that are spread over the canvas.

A tile counts for a pair of planes if both slices cover it whole, so that neither background nor borders count.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from clio_argo.kernels import Image, as_image
from clio_argo.model.alignment import Floats, Matrix, apply, invert

# 8 x 8 tiles of 256 px: 5 ms for a plane of 25 megapixels, 0.4 % of a run
TILES, TILE_PX = 8, 256
# the scale of alignment, where noise does not hide tissue, but no coarser than shows a step of two pixels
REDUCED_PX, COARSEST = 1250, 4
# chosen: the median follows changes over a few dozen sections; the scatter needs several times as many values
MEDIAN_PAIRS, SCATTER_PAIRS = 31, 201
# chosen: six standard deviations of the stack's own scatter; 0.05 is about what a step of a pixel costs
SIGMAS, LEAST_DROP = 6.0, 0.05


@dataclass(frozen=True)
class Tiles:
    """What is kept of a plane.

    tiles: reduced grey values [n, y, x], uint8 or uint16.
    covered: bool [n], whether the slice covers the whole tile.
    """

    tiles: Image
    covered: NDArray[np.bool_]


def sample(plane: Image, matrix: Matrix, size: tuple[int, int]) -> Tiles:
    """Tiles of `plane` [y, x], on which `matrix` (2x3, pixels) has placed a slice of `size` (width, height)."""
    (tops, height), (lefts, width) = (_spans(s) for s in plane.shape)
    factor = min(COARSEST, max(1, round(max(plane.shape) / REDUCED_PX)), height, width)
    corners = np.array([(x, y) for y in tops for x in lefts])
    small = (width // factor, height // factor)
    tiles = [cv2.resize(plane[y : y + height, x : x + width], small, interpolation=cv2.INTER_AREA) for x, y in corners]
    ends = (np.array([x, y]) for x in (0, width - 1) for y in (0, height - 1))
    covered = [_inside(apply(invert(matrix), corners + end), size) for end in ends]
    return Tiles(as_image(np.stack(tiles)), np.logical_and.reduce(covered))


def _spans(side: int) -> tuple[list[int], int]:
    """Begins of the tiles along an axis, away from the ends of the canvas, and their length in pixels."""
    length = max(1, min(TILE_PX, side // TILES))
    return [(i + 1) * (side - length) // (TILES + 1) for i in range(TILES)], length


def _inside(points: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which points [n, 2] (x, y) lie on an image of `size` (width, height): bool [n]."""
    return np.asarray(((points >= 0) & (points <= np.array(size) - 1)).all(1), np.bool_)


def similarity(a: Tiles, b: Tiles) -> float | None:
    """Correlation of two planes over the tiles that both cover, None without any tile.

    It is the zero-mean normalised cross-correlation, -1 to 1, with a mean for each tile instead of one for all.
    """
    both = a.covered & b.covered
    first, second = (_centre_tiles(plane.tiles[both]) for plane in (a, b))
    energy = float(np.vdot(first, first)) * float(np.vdot(second, second))
    return float(np.vdot(first, second)) / energy**0.5 if energy > 0 else None


def _centre_tiles(tiles: Image) -> NDArray[np.float32]:
    """Tiles [n, y, x] less the mean of each."""
    values = tiles.astype(np.float32)
    return np.asarray(values - values.mean((1, 2), keepdims=True), np.float32)


def median_and_outliers(values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Running median of `values` [n], and which of them lie far below it: float64 and bool [n].

    Far is six standard deviations of the values around, and 0.05 at least. A standard deviation is 1.4826 median
    absolute deviations, as of normal values.
    """
    if not len(values):
        return values, np.zeros(0, np.bool_)
    local_median = median_filter(values, MEDIAN_PAIRS, mode="reflect")
    drop = local_median - values
    scatter = 1.4826 * median_filter(np.abs(drop), SCATTER_PAIRS, mode="reflect")
    return local_median, drop > np.maximum(SIGMAS * scatter, LEAST_DROP)
