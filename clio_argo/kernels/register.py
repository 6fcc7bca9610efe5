"""The last tenth of a pixel: two slices in register, from a matrix that is nearly right.

Gauss-Newton steps to the affine, gain and offset that bring the grey values of both nearest to each other where both
show tissue; at its end that is the highest masked correlation (ECC: Evangelidis and Psarakis, IEEE TPAMI 30(10), 2008).
Slopes are those of the moving slice alone (Baker and Matthews, IJCV 56(3), 2004), so that a step costs one warp.
Without masks the black borders of shifted slices bias it by more than a pixel.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Mask, Reduced
from clio_argo.model.alignment import Floats, apply, homogeneous

FitModel = Literal["translation", "rigid", "affine"]
Plane = NDArray[np.float32]
BLUR = (5, 5)
# more pixels than that make a fit no better, as slices are blurred
PIXELS = 500_000
STILL_PX, MOST_STEPS = 1e-3, 30
LEAST_COMMON, WHOLE = 0.01, 0.999
FARTHEST_PX = 100.0
APART = "the refinement does not converge: the slices have too little in common"
FREE: dict[FitModel, Floats] = {
    "translation": np.eye(6)[[2, 5]],
    "rigid": np.array([[0, -1, 0, 1, 0, 0], *np.eye(6)[[2, 5]]]),
    "affine": np.eye(6),
}
"""Which combinations of the six numbers of an affine change, rows of [a, b, tx, c, d, ty]."""


class NotFound(Exception):
    """No fit; the message says why."""


def register(fixed: Reduced, moving: Reduced, start: Floats, model: FitModel) -> tuple[Floats, float]:
    """Maximise the masked correlation of two slices reduced by the same factor.

    start: 2x3, from moving to fixed in full-size pixels, as the matrix that is returned with the correlation.
    Raises `NotFound` if the slices have too little in common.
    """
    there, seen = _blurred(fixed), fixed.mask.astype(np.float32)
    grid, free = _grid(moving), FREE[model]
    matrix, correlation = to_reduced(nearest_of_model(start, model, moving), fixed, moving), 0.0
    for _ in range(MOST_STEPS):
        normal, correlation = grid.equations(there, seen, matrix)
        six = _solved(normal, free)
        matrix = (homogeneous(matrix) @ grid.change(six))[:2]
        if np.abs(six).reshape(2, 3).sum(1).max() < STILL_PX:
            break
    full = scaling(fixed.factor) @ homogeneous(matrix) @ np.linalg.inv(scaling(moving.factor))
    return nearest_of_model(full[:2], model, moving), correlation


@dataclass(frozen=True)
class _Grid:
    """The moving slice at every `stride`th pixel: grey values, slopes along x and y, and mask.

    x and y reach from -1 to 1 along the longer side, so that all six numbers of a change are about as large.
    """

    stride: int
    grey: Plane
    slopes: tuple[Plane, Plane]
    mask: Mask
    x: Plane
    y: Plane
    centre: Floats
    half_px: float

    def equations(self, there: Plane, seen: Plane, matrix: Floats) -> tuple[Floats, float]:
        """Normal equations [9, 9] of change, gain and offset, the right side last; and the correlation."""
        to_there = matrix @ np.diag([self.stride, self.stride, 1.0])
        found, whole = (_warped(p, to_there, self.grey.shape) for p in (there, seen))
        common = (self.mask & (whole > WHOLE)).astype(np.float32)
        (here, contrast), (found, _) = (_normalised(p, common) for p in (self.grey, found))
        slopes = [s * common / contrast for s in self.slopes]
        moved = [s * along for s in slopes for along in (self.x, self.y, np.float32(1))]
        rows = np.stack([*moved, found, common, here - found]).reshape(9, -1)
        return (rows @ rows.T).astype(np.float64), float(np.vdot(here, found) / common.sum())

    def change(self, six: Floats) -> Floats:
        """A change of x and y as 3x3 in pixels of the moving slice."""
        linear = six.reshape(2, 3)[:, :2] / self.half_px
        offset = six.reshape(2, 3)[:, 2] - linear @ self.centre
        return homogeneous(np.eye(2, 3) + np.hstack([linear, offset[:, None]]))


def _grid(moving: Reduced) -> _Grid:
    image = _blurred(moving)
    height, width = image.shape
    stride = max(1, round((image.size / PIXELS) ** 0.5))
    thin = np.s_[::stride, ::stride]
    along_x, along_y = (
        np.asarray(cv2.Sobel(image, cv2.CV_32F, *axis, ksize=1, scale=0.5), np.float32)[thin]
        for axis in ((1, 0), (0, 1))
    )
    centre, half_px = np.array([(width - 1) / 2, (height - 1) / 2]), max(width, height) / 2
    x, y = (
        ((np.arange(0, n, stride) - c) / half_px).astype(np.float32)
        for n, c in zip((width, height), centre, strict=True)
    )
    return _Grid(stride, image[thin], (along_x, along_y), moving.mask[thin], x, y[:, None], centre, half_px)


def _warped(plane: Plane, matrix: Floats, shape: tuple[int, ...]) -> Plane:
    """What `plane` shows at the places to which `matrix` maps the pixels of an image of this shape."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(plane, matrix, shape[::-1], flags=flags), np.float32)


def _blurred(reduced: Reduced) -> Plane:
    return np.asarray(cv2.GaussianBlur(reduced.image.astype(np.float32), BLUR, 0), np.float32)


def _normalised(plane: Plane, common: Plane) -> tuple[Plane, float]:
    """Mean 0 and standard deviation 1 where both slices show tissue, 0 elsewhere; and the deviation before."""
    count = float(common.sum())
    if count < LEAST_COMMON * common.size:
        raise NotFound(APART)
    centred = (plane - np.float32(np.vdot(plane, common) / count)) * common
    deviation = float(np.sqrt(np.vdot(centred, centred) / count))
    if not deviation:
        raise NotFound(APART)
    return centred / np.float32(deviation), deviation


def _solved(normal: Floats, free: Floats) -> Floats:
    """The change [a, b, tx, c, d, ty] of the model that solves the equations best."""
    basis = np.zeros((len(free) + 2, 8))
    basis[:-2, :6], basis[-2:, 6:] = free, np.eye(2)
    try:
        numbers = np.linalg.solve(basis @ normal[:-1, :-1] @ basis.T, basis @ normal[:-1, -1])
    except np.linalg.LinAlgError as error:
        raise NotFound(APART) from error
    if not np.abs(numbers[:-2]).max() < FARTHEST_PX:
        raise NotFound("the refinement does not converge")
    return np.asarray(numbers[:-2] @ free, np.float64)


def to_reduced(matrix: Floats, fixed: Reduced, moving: Reduced) -> Floats:
    """The same transform (2x3) between pixels of the reduced slices."""
    return np.asarray(
        (np.linalg.inv(scaling(fixed.factor)) @ homogeneous(matrix) @ scaling(moving.factor))[:2]
    )


def scaling(factor: int) -> Floats:
    """3x3 from pixels of an image reduced by `factor` to full-size pixels."""
    return np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])


def nearest_of_model(matrix: Floats, model: str, moving: Reduced) -> Floats:
    """The translation or rotation that moves the slice's centre and axes as the affine `matrix` does."""
    if model == "affine":
        return matrix
    height, width = (s * moving.factor for s in moving.image.shape)
    centre = np.array([[(width - 1) / 2, (height - 1) / 2]])
    linear = np.eye(2)
    if model == "rigid":
        u, _, v = np.linalg.svd(matrix[:, :2])
        linear = u @ v
    offset = apply(matrix, centre)[0] - linear @ centre[0]
    return np.hstack([linear, offset[:, None]])
