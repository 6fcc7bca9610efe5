"""Places where a plane shows something else than planes around it, which agree with each other there.

The correlation of two whole planes hardly falls if a ninth of one is of another place. That of windows does.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Bounds
from clio_argo.kernels.fill import Mask
from clio_argo.model.alignment import Matrix, apply, corners

# the farthest planes that are compared: two that show another place may lie between them
REACH = 3
# Windows of 2 x 2 cells: what covers a quarter of the longer side holds one whole, wherever it lies.
CELLS = 12
# Of windows that correlate with both planes beside them by less than 0.35, none of registered medulla, ssTEM and raw
# FIB-SEM lacks more than 1.5 times what these two lack of each other (of every tenth slice 2), as an end 6 times.
UNLIKE, STRANGE, STRANGE_END = 0.35, 3.0, 12.0
# of 1 - correlation: rounding alone; of squared variances: far below a grey level, flat windows correlate by 0
LEAST_DIFFERENCE, LEAST_ENERGY = 0.02, 1e-3
# chosen: fill varies by less than a tenth of what tissue does within so many pixels; its seam is left out, too
FLAT, FLAT_PX, SEAM_PX = 0.1, 3, 5
# Gaussian in pixels, as that of `similarity` on planes of some hundred pixels
SMOOTH_PX = 1.0
# of a window that both planes must show
COUNTED = 0.9
Maps = NDArray[np.float32]


Alike = Mapping[tuple[int, int], Maps]
"""Correlations [rows, columns] of the windows of two planes, by their z."""


@dataclass(frozen=True)
class Picture:
    """A small picture of a plane: grey values [y, x], smoothed; where the slice shows something, and where fill."""

    smooth: Maps
    shows: Mask
    fill: Mask


def look(picture: NDArray[np.uint8], matrix: Matrix, size: tuple[int, int]) -> Picture:
    """A picture [y, x], on which `matrix` (2x3, pixels) has placed a slice of `size` (width, height)."""
    grey = picture.astype(np.float32)
    scatter = np.sqrt(np.maximum(cv2.blur(grey * grey, (FLAT_PX,) * 2) - cv2.blur(grey, (FLAT_PX,) * 2) ** 2, 0))
    fill = (scatter <= FLAT * np.median(scatter)).astype(np.uint8)
    seam = cv2.dilate(fill, np.ones((SEAM_PX, SEAM_PX), np.uint8))
    covered = np.zeros(picture.shape, np.uint8)
    cv2.fillConvexPoly(covered, apply(matrix, corners(*size))[[0, 1, 3, 2]].round().astype(np.int32), 1)
    # the background shines through what is resampled at the border
    inside = cv2.erode(covered, np.ones((3, 3), np.uint8), borderValue=0) > 0
    return Picture(cv2.GaussianBlur(grey - grey.mean(), (0, 0), SMOOTH_PX), inside & (seam == 0), inside & (fill > 0))


def strange_places(pictures: Iterable[tuple[int, Picture]]) -> dict[int, Bounds]:
    """Where one picture, or two in a row, are unlike those beside them, which are alike, by z.

    Pictures come with their z, in its order. At an end of the stack those beside one are the next two. One that holds
    nothing but fill in a place is unlike others, too.
    """
    alike, held, cell = dict[tuple[int, int], Maps](), deque[tuple[int, Picture]](maxlen=REACH), 1
    empty = dict[int, Mask]()
    for z, picture in pictures:
        cell = _cell(picture.smooth.shape)
        alike |= {(below, z): _likeness(earlier, picture, cell) for below, earlier in held}
        empty[z] = _windows(picture.fill[None].astype(np.float32), cell)[0] >= COUNTED
        held.append((z, picture))
    numbers = sorted(empty)
    found = {z: empty[z] & (alike[a, b] > UNLIKE) for a, z, b in zip(numbers, numbers[1:], numbers[2:], strict=False)}
    for run, beside in _runs(numbers):
        windows = _strange(alike, run, beside)
        found |= {z: windows | found.get(z, False) for z in run}
    return {z: _bounds(windows, cell) for z, windows in sorted(found.items()) if windows.any()}


def _cell(shape: tuple[int, ...]) -> int:
    """Side in pixels of the cells of pictures of a `shape` (height, width); two fit the shorter side."""
    return max(1, min(max(shape) // CELLS, min(shape) // 2))


def _runs(numbers: Sequence[int]) -> Iterator[tuple[Sequence[int], tuple[int, int]]]:
    """Each of `numbers`, and each two in a row, with those beside them."""
    for count in (1, 2):
        for i in range(1, len(numbers) - count):
            yield numbers[i : i + count], (numbers[i - 1], numbers[i + count])
    for end, near, far in (numbers[:3], numbers[:-4:-1]) if len(numbers) > 2 else ():
        # behind a gap an end may be unlike them anyway
        if abs(near - end) <= abs(far - near):
            yield [end], (near, far)


def _strange(alike: Alike, run: Sequence[int], beside: tuple[int, int]) -> Mask:
    """Windows [rows, columns] in which all planes of a run are unlike those `beside` them, which are alike."""
    nearest = np.max([alike[min(z, other), max(z, other)] for z in run for other in beside], axis=0)
    lacks = np.maximum(1 - alike[min(beside), max(beside)], LEAST_DIFFERENCE)
    known = lacks[np.isfinite(lacks)]
    if not len(known):
        return np.zeros(lacks.shape, np.bool_)
    if len(run) > 1:
        lacks = np.maximum(lacks, np.median(known))
    at_end = (beside[0] < run[0]) == (beside[1] < run[0])
    limit = STRANGE_END * np.quantile(known, 0.9) if at_end else STRANGE * lacks
    return np.asarray((nearest < UNLIKE) & (1 - nearest > limit), np.bool_)


def _bounds(windows: Mask, cell: int) -> Bounds:
    """Bounds in pixels of all windows [rows, columns] that are True."""
    y, x = np.nonzero(windows)
    left, top = (cell * int(v.min()) for v in (x, y))
    right, bottom = (cell * (int(v.max()) + 2) for v in (x, y))
    return left, top, right, bottom


def _likeness(one: Picture, other: Picture, cell: int) -> Maps:
    """Correlations [rows, columns] of windows; NaN where less than nine tenths of one are shown by both."""
    weight = (one.shows & other.shows).astype(np.float32)
    a, b = one.smooth * weight, other.smooth * weight
    counted, *sums = _windows(np.stack([weight, a, b, a * a, b * b, a * b]), cell)
    a, b, aa, bb, ab = np.stack(sums) / np.maximum(counted, COUNTED)
    energy = np.maximum(aa - a * a, 0) * np.maximum(bb - b * b, 0)
    return np.where(counted >= COUNTED, (ab - a * b) / np.sqrt(np.maximum(energy, LEAST_ENERGY)), np.nan)


def _windows(planes: Maps, cell: int) -> Maps:
    """Means of planes [n, y, x] over windows of 2 x 2 cells, one at each cell: [n, rows, columns]."""
    count, rows, columns = len(planes), *(s // cell for s in planes.shape[1:])
    # one call for all planes: a mean by numpy takes nine times as long
    column = planes[:, : rows * cell, : columns * cell].reshape(-1, columns * cell)
    cut = cv2.resize(column, (columns, count * rows), interpolation=cv2.INTER_AREA).reshape(count, rows, columns)
    return np.asarray((cut[:, 1:, 1:] + cut[:, 1:, :-1] + cut[:, :-1, 1:] + cut[:, :-1, :-1]) / 4, np.float32)
