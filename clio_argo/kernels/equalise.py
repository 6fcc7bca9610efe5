"""Contrast-limited histogram equalisation of 8 bits, compiled: what OpenCV does, in two fifths of its time."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.compiled import compiled, inlined

# grey values of 8 bits
BINS = 256
Plane = NDArray[np.uint8]
Single = np.float32


def equalise(pixels: Plane, clip_limit: float, tile: tuple[int, int]) -> Plane:
    """CLAHE (Zuiderveld, Graphics Gems IV, 1994) of an image [y, x] of whole tiles (height, width), as OpenCV does it.

    clip_limit: a multiple of the mean count of 256 bins.
    """
    result = np.empty_like(pixels)
    _apply(pixels, _tables(pixels, clip_limit, tile), tile, result)
    return result


def _tables(pixels: Plane, clip_limit: float, tile: tuple[int, int]) -> NDArray[np.float32]:
    """The new grey value of each grey value, of each tile: [y, x, 256]."""
    height, width = tile
    shape = (pixels.shape[0] // height, pixels.shape[1] // width)
    tables = np.empty((*shape, BINS), np.float32)
    for y, x in np.ndindex(shape):
        part = pixels[y * height : (y + 1) * height, x * width : (x + 1) * width]
        counts = cv2.calcHist([part], [0], None, [BINS], [0, BINS]).ravel().astype(np.int64)
        limit = max(1, int(clip_limit * part.size / BINS))
        evenly, rest = divmod(int(np.maximum(counts - limit, 0).sum()), BINS)
        counts = np.minimum(counts, limit) + evenly
        if rest:
            counts[:: BINS // rest][:rest] += 1
        tables[y, x] = np.rint(np.cumsum(counts) * Single((BINS - 1) / part.size))
    return tables


@inlined
def _centre(column: int, width: int) -> int:
    """The first pixel that does not lie before the centre of a tile."""
    return (2 * column * width + width + 1) // 2


@compiled("void(uint8[:, ::1], float32[:, :, ::1], UniTuple(int64, 2), uint8[:, ::1])")
def _apply(pixels: Plane, tables: NDArray[np.float32], tile: tuple[int, int], result: Plane) -> None:
    """Each pixel [y, x] by the tables [y, x, 256] of the four tiles whose centres are around it."""
    rows, columns, _ = tables.shape
    height, width = tile
    for y in range(pixels.shape[0]):
        place = Single(y) * (Single(1) / Single(height)) - Single(0.5)
        row = int(np.floor(place))
        part = place - Single(row)
        # what holds for the whole row of pixels
        mixed = tables[max(row, 0)] * (Single(1) - part) + tables[min(row + 1, rows - 1)] * part
        for column in range(-1, columns):
            begin, end = max(0, _centre(column, width)), min(columns * width, _centre(column + 1, width))
            left, right = mixed[max(column, 0)], mixed[min(column + 1, columns - 1)]
            for x in range(begin, end):
                across = Single(np.int32(x)) * (Single(1) / Single(width)) - Single(0.5) - Single(column)
                value = pixels[y, x]
                result[y, x] = np.int32(np.rint(left[value] * (Single(1) - across) + right[value] * across))
