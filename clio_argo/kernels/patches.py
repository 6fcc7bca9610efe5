"""Places where a plane shows something else than both planes around it, which agree with each other there.

The correlation of two whole planes hardly falls if a ninth of one is of another place. That of windows does.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Bounds
from clio_argo.kernels.fill import Mask
from clio_argo.model.alignment import Matrix, apply, corners

# Windows of 2 x 2 cells: what covers a quarter of the longer side holds one whole, wherever it lies.
CELLS = 12
# Of windows that correlate with both planes around by less than 0.35, none of registered medulla (every tenth slice,
# too), ssTEM and raw FIB-SEM lacks more than 1.5 times what these two lack of each other, as an end 6 times.
UNLIKE, STRANGE, STRANGE_END = 0.35, 3.0, 12.0
# of 1 - correlation: rounding alone; of squared variances: far below a grey level, flat windows correlate by 0
LEAST_DIFFERENCE, LEAST_ENERGY = 0.02, 1e-3
# chosen: fill varies by less than a tenth of what tissue does within so many pixels; its seam is left out, too
FLAT, FLAT_PX, SEAM_PX = 0.1, 3, 5
# Gaussian in pixels, as that of `similarity` on planes of some hundred pixels
SMOOTH_PX = 1.0
# of a window that all three planes must show
COUNTED = 0.9
Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A small picture of a plane: grey values [y, x], smoothed, and where the slice shows something, bool [y, x]."""

    smooth: Maps
    shows: Mask


PictureOf = tuple[int, Picture]
"""z of a plane and its picture."""


def look(picture: NDArray[np.uint8], matrix: Matrix, size: tuple[int, int]) -> Picture:
    """A picture [y, x], on which `matrix` (2x3, pixels) has placed a slice of `size` (width, height)."""
    grey = picture.astype(np.float32)
    scatter = np.sqrt(np.maximum(cv2.blur(grey * grey, (FLAT_PX,) * 2) - cv2.blur(grey, (FLAT_PX,) * 2) ** 2, 0))
    fill = cv2.dilate((scatter <= FLAT * np.median(scatter)).astype(np.uint8), np.ones((SEAM_PX, SEAM_PX), np.uint8))
    covered = np.zeros(picture.shape, np.uint8)
    cv2.fillConvexPoly(covered, apply(matrix, corners(*size))[[0, 1, 3, 2]].round().astype(np.int32), 1)
    # the background shines through what is resampled at the border
    inside = cv2.erode(covered, np.ones((3, 3), np.uint8), borderValue=0)
    return Picture(cv2.GaussianBlur(grey - grey.mean(), (0, 0), SMOOTH_PX), (inside > 0) & (fill == 0))


def strange_places(pictures: Iterable[PictureOf]) -> Iterator[tuple[int, Bounds]]:
    """Where a picture is unlike both beside it, and its z; pictures come with their z, in its order.

    At an end of the stack those beside it are the next two, which must not be nearer to each other than to it.
    """
    for (z, plane), (z1, one), (z2, other) in _triples(pictures):
        at_end = (z1 < z) == (z2 < z)
        even = not at_end or abs(z1 - z) <= abs(z2 - z1)
        if even and (place := strange_place(plane, one, other, at_end)):
            yield z, place


def _triples(pictures: Iterable[PictureOf]) -> Iterator[tuple[PictureOf, PictureOf, PictureOf]]:
    """Each picture with the two that are nearest in order."""
    held = deque[PictureOf](maxlen=3)
    for count, each in enumerate(pictures, 1):
        held.append(each)
        if count == 3:
            yield held[0], held[1], held[2]
        if count >= 3:
            yield held[1], held[0], held[2]
    if len(held) == 3:
        yield held[2], held[1], held[0]


def strange_place(plane: Picture, one: Picture, other: Picture, at_end: bool) -> Bounds | None:
    """Bounds in pixels of the windows in which `plane` is unlike `one` and `other`, which are alike; None without.

    at_end: `one` and `other` are both on one side of it.
    """
    cell = max(1, max(plane.smooth.shape) // CELLS)
    weight = (plane.shows & one.shows & other.shows).astype(np.float32)
    counted = _windows(weight[None], cell)[0]
    first, second, around = (
        _correlations(_windows(weight * _moments(*pair), cell) / np.maximum(counted, LEAST_DIFFERENCE))
        for pair in ((plane, one), (plane, other), (one, other))
    )
    beside, lacks = np.maximum(first, second), np.maximum(1 - around, LEAST_DIFFERENCE)
    whole = counted >= COUNTED
    limit = STRANGE_END * _usual(lacks[whole]) if at_end else STRANGE * lacks
    y, x = np.nonzero(whole & (beside < UNLIKE) & (1 - beside > limit))
    return (*(cell * int(v.min()) for v in (x, y)), *(cell * (int(v.max()) + 2) for v in (x, y))) if len(y) else None


def _usual(lacks: Maps) -> float:
    """What nine of ten windows [n] do not lack more of."""
    return float(np.quantile(lacks, 0.9)) if len(lacks) else 1.0


def _moments(one: Picture, other: Picture) -> Maps:
    """Products [5, y, x] whose means tell how two pictures correlate."""
    a, b = one.smooth, other.smooth
    return np.stack([a, b, a * a, b * b, a * b])


def _windows(planes: Maps, cell: int) -> Maps:
    """Means of planes [n, y, x] over windows of 2 x 2 cells, one at each cell: [n, rows, columns]."""
    count, rows, columns = len(planes), *(s // cell for s in planes.shape[1:])
    cut = planes[:, : rows * cell, : columns * cell].reshape(count, rows, cell, columns, cell).mean((2, 4))
    return np.asarray((cut[:, 1:, 1:] + cut[:, 1:, :-1] + cut[:, :-1, 1:] + cut[:, :-1, :-1]) / 4, np.float32)


def _correlations(means: Maps) -> Maps:
    """Correlations [rows, columns] of windows, from means [5, rows, columns] of `_moments`."""
    a, b, aa, bb, ab = means
    energy = np.maximum(aa - a * a, 0) * np.maximum(bb - b * b, 0)
    return np.asarray((ab - a * b) / np.sqrt(np.maximum(energy, LEAST_ENERGY)), np.float32)
