"""How alike neighbouring planes of the rendered volume are, seen through tiles that are spread over the canvas.

A tile counts for a pair of planes where both slices cover it whole, so that neither background nor borders count.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from clio_argo.kernels import Image, as_image
from clio_argo.model.alignment import Floats, Matrix, apply, invert

TILES, TILE_PX = 8, 256
# the scale of alignment, where noise does not hide tissue, but no coarser than shows a step of two pixels
REDUCED_PX, COARSEST = 1250, 4
SURROUNDINGS, SPREAD_OVER = 31, 201
# beyond the scatter of the stack, and beyond what a person would call a fault
SIGMAS, LEAST_DROP = 6.0, 0.05


@dataclass(frozen=True)
class Look:
    """What is kept of a plane: tiles [n, y, x] of reduced grey values, and which of them the slice covers."""

    tiles: Image
    covered: NDArray[np.bool_]


def look(plane: Image, matrix: Matrix, size: tuple[int, int]) -> Look:
    """Tiles of `plane` [y, x], on which `matrix` has put a slice of `size` (width, height)."""
    (tops, height), (lefts, width) = (_spans(s) for s in plane.shape)
    factor = min(COARSEST, max(1, round(max(plane.shape) / REDUCED_PX)), height, width)
    corners = np.array([(x, y) for y in tops for x in lefts])
    small = (width // factor, height // factor)
    tiles = [
        cv2.resize(plane[y : y + height, x : x + width], small, interpolation=cv2.INTER_AREA)
        for x, y in corners
    ]
    ends = (np.array([x, y]) for x in (0, width - 1) for y in (0, height - 1))
    covered = [_inside(apply(invert(matrix), corners + end), size) for end in ends]
    return Look(as_image(np.stack(tiles)), np.logical_and.reduce(covered))


def _spans(side: int) -> tuple[list[int], int]:
    """Where tiles begin along an axis, away from the ends of the canvas, and their length in pixels."""
    length = max(1, min(TILE_PX, side // TILES))
    return [(i + 1) * (side - length) // (TILES + 1) for i in range(TILES)], length


def _inside(points: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(((points >= 0) & (points <= np.array(size) - 1)).all(1), np.bool_)


def likeness(a: Look, b: Look) -> float | None:
    """Correlation of two planes over the tiles that both cover, brightness of tiles left out; None without any."""
    both = a.covered & b.covered
    first, second = (_centred(look.tiles[both]) for look in (a, b))
    strength = float(np.vdot(first, first)) * float(np.vdot(second, second))
    return float(np.vdot(first, second)) / strength**0.5 if strength > 0 else None


def _centred(tiles: Image) -> NDArray[np.float32]:
    values = tiles.astype(np.float32)
    return np.asarray(values - values.mean((1, 2), keepdims=True), np.float32)


def usual(values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The median of the values around each, and which values lie far below it as the stack scatters there."""
    if not len(values):
        return values, np.zeros(0, np.bool_)
    median = median_filter(values, SURROUNDINGS, mode="reflect")
    drop = median - values
    spread = 1.4826 * median_filter(np.abs(drop), SPREAD_OVER, mode="reflect")
    return median, drop > np.maximum(SIGMAS * spread, LEAST_DROP)
