"""Refines the affine between two slices to the last tenth of a pixel, from one that is nearly right.

Gauss-Newton steps minimise the squared difference of grey values over the affine, gain and offset, where both slices
show tissue. They end at the highest masked correlation (ECC: Evangelidis and Psarakis, IEEE TPAMI 30(10), 2008).
Gradients are those of the moving slice alone (inverse composition: Baker and Matthews, IJCV 56(3), 2004), so that a
step costs one warp. Without masks the black borders of shifted slices bias the result by more than a pixel.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Reduced, scaling
from clio_argo.kernels.fill import Mask
from clio_argo.model.alignment import Floats, apply, homogeneous

FitModel = Literal["translation", "rigid", "affine"]
Plane = NDArray[np.float32]
T = TypeVar("T", bound=NDArray[Any])
# Gaussian kernel: noise of 15 grey levels moves fits by 0.054 px (median of 15 pairs), by 0.069 without, 0.066 at 9 x 9
BLUR = (5, 5)
# every second pixel of a blurred slice of 1250 px: fits differ from those of all pixels by 0.0007 px
PIXELS = 500_000
# a hundredth of what pairs err by; 8 nm slices take two or three steps to it, 45 nm sections up to thirty
STILL_PX, MOST_STEPS = 1e-3, 30
# more follow noise that hides tissue: at 15, errors of fits under 130 grey levels of it grow from 2.2 to 2.5 px
MOST_LONGER = 2.0
# chosen: less than a hundredth of the slice holds too little tissue for six numbers
LEAST_COMMON = 0.01
# of an interpolated mask: less has mixed with pixels that are masked
WHOLE = 255
# grey levels, standard deviation; rounding alone leaves less, tissue a thousand times as much
LEAST_CONTRAST = 1e-2
# chosen: a step of a hundred pixels leaves the basin in which Gauss-Newton steps converge
FARTHEST_PX = 100.0
APART = "the refinement does not converge: the slices have too little in common"
FREE: dict[FitModel, Floats] = {
    "translation": np.eye(6)[[2, 5]],
    "rigid": np.array([[0, -1, 0, 1, 0, 0], *np.eye(6)[[2, 5]]]),
    "affine": np.eye(6),
}
"""The free parameters of each model [parameters, 6]: combinations of the change [a, b, tx, c, d, ty] of an affine."""


class NotFound(Exception):
    """No fit was found; the message gives the reason."""


def register(
    fixed: Reduced, moving: Reduced, start: Floats, model: FitModel, pixels: int = PIXELS
) -> tuple[Floats, float]:
    """Maximise the masked correlation of two slices reduced by the same factor (see the module for the method).

    start: [2, 3], from moving to fixed in full-size pixels, as is the matrix returned with the correlation (-1 to 1).
    pixels: about how many are compared.

    Raises:
        NotFound: the slices have too little in common, or the steps diverge.
    """
    target = _blur(fixed)
    # far from 0, sums of squares in single precision would lose what tissue adds
    target, target_mask = target - target.mean(), np.where(fixed.mask, np.uint8(WHOLE), np.uint8(0))
    grid, free = _grid(moving, pixels), FREE[model]
    matrix, correlation = to_reduced(nearest_of_model(start, model, moving), fixed, moving), 0.0
    six, longer = np.zeros(6), 1.0
    for _ in range(MOST_STEPS):
        normal, correlation = grid.equations(target, target_mask, matrix)
        before, six = six, _solve_model(normal, free)
        longer = _lengthen(longer, before, six)
        matrix = (homogeneous(matrix) @ grid.change(longer * six))[:2]
        if longer * np.abs(six).reshape(2, 3).sum(1).max() < STILL_PX:
            break
    full = scaling(fixed.factor) @ homogeneous(matrix) @ np.linalg.inv(scaling(moving.factor))
    return nearest_of_model(full[:2], model, moving), correlation


@dataclass(frozen=True)
class _Grid:
    """The moving slice at every `stride`th pixel, `mask` [y, x], and what fits of it have in common.

    rows: [8, pixels], 0 where masked: slopes along the six parameters of a change, grey values, 1.
    sums: [8, 8], products of rows over all pixels.
    centre: [2], (x, y) in pixels. half_px: half of the longer side.
    """

    stride: int
    mask: Mask
    rows: Plane
    sums: Floats
    centre: Floats
    half_px: float

    def equations(self, target: Plane, target_mask: NDArray[np.uint8], matrix: Floats) -> tuple[Floats, float]:
        """Normal equations [9, 9] of change (6), gain and offset, the right side last; and the correlation.

        target, target_mask: the fixed slice [y, x]. matrix: [2, 3], from reduced pixels of moving to fixed.
        """
        to_target = matrix @ np.diag([self.stride, self.stride, 1.0])
        common = self.mask & (_warp(target_mask, to_target, self.mask.shape) == WHOLE)
        fixed = (_warp(target, to_target, self.mask.shape) * common).ravel()
        # most pixels are common: what the others add is taken from the sums of all
        lost = self.rows[:, np.flatnonzero(self.mask & ~common)]
        sums = np.empty((9, 9))
        sums[:8, :8] = self.sums - lost @ lost.T
        sums[:8, 8] = sums[8, :8] = self.rows @ fixed
        sums[8, 8] = np.vdot(fixed, fixed)
        return _normalise(sums, self.mask.size)

    def change(self, six: Floats) -> Floats:
        """The change [a, b, tx, c, d, ty] of x and y as a matrix [3, 3] in pixels of the moving slice."""
        linear = six.reshape(2, 3)[:, :2] / self.half_px
        offset = six.reshape(2, 3)[:, 2] - linear @ self.centre
        return homogeneous(np.eye(2, 3) + np.hstack([linear, offset[:, None]]))


def _grid(moving: Reduced, pixels: int) -> _Grid:
    """The moving slice, blurred, at a stride that keeps about so many of its pixels [y, x]."""
    image = _blur(moving)
    height, width = image.shape
    stride = max(1, round((image.size / pixels) ** 0.5))
    thin = np.s_[::stride, ::stride]
    mask = moving.mask[thin]
    along_x, along_y = (
        np.asarray(cv2.Sobel(image, cv2.CV_32F, *axis, ksize=1, scale=0.5), np.float32)[thin] * mask
        for axis in ((1, 0), (0, 1))
    )
    centre, half_px = np.array([(width - 1) / 2, (height - 1) / 2]), max(width, height) / 2
    # from -1 to 1 along the longer side, so that all six parameters of a change have one magnitude
    x, y = (
        ((np.arange(0, n, stride) - c) / half_px).astype(np.float32)
        for n, c in zip((width, height), centre, strict=True)
    )
    rows = np.empty((8, *mask.shape), np.float32)
    slopes = product((along_x, along_y), (x, y[:, None], np.float32(1)))
    for row, (slope, along) in zip(rows[:6], slopes, strict=True):
        np.multiply(slope, along, out=row)
    np.multiply(image[thin] - image.mean(), mask, out=rows[6])
    rows[7] = mask
    rows = rows.reshape(8, -1)
    return _Grid(stride, mask, rows, (rows @ rows.T).astype(np.float64), centre, half_px)


def _warp(plane: T, matrix: Floats, shape: tuple[int, ...]) -> T:
    """Values of `plane` [y, x] where `matrix` [2, 3] maps the pixels of an image of `shape` (height, width)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast(T, cv2.warpAffine(plane, matrix, shape[::-1], flags=flags))


def _blur(reduced: Reduced) -> Plane:
    """The image [y, x] after a Gaussian blur: gradients of single pixels are noise."""
    return np.asarray(cv2.GaussianBlur(reduced.image.astype(np.float32), BLUR, 0), np.float32)


def _normalise(sums: Floats, pixels: int) -> tuple[Floats, float]:
    """Normal equations [9, 9] of slices with mean 0 and standard deviation 1, and their correlation (-1 to 1).

    sums: products [9, 9] of slopes (6), moving slice, 1 and fixed slice over the pixels that are common.
    """
    moving, one, fixed = 6, 7, 8
    count = sums[one, one]
    if count < LEAST_COMMON * pixels:
        raise NotFound(APART)
    mean = sums[one] / count
    variance = np.diag(sums) / count - mean**2
    if min(variance[moving], variance[fixed]) < LEAST_CONTRAST**2:
        raise NotFound(APART)
    unit = np.eye(9)
    normal = {k: (unit[k] - mean[k] * unit[one]) / np.sqrt(variance[k]) for k in (moving, fixed)}
    rows = [*unit[:6] / np.sqrt(variance[moving]), normal[fixed], unit[one], normal[moving] - normal[fixed]]
    return np.array(rows) @ sums @ np.array(rows).T, float(normal[moving] @ sums @ normal[fixed] / count)


def _solve_model(normal: Floats, free: Floats) -> Floats:
    """The change [a, b, tx, c, d, ty] that solves the equations [9, 9] within the model `free` [parameters, 6].

    Gain and offset are free in every model.
    """
    basis = np.zeros((len(free) + 2, 8))
    basis[:-2, :6], basis[-2:, 6:] = free, np.eye(2)
    try:
        numbers = np.linalg.solve(basis @ normal[:-1, :-1] @ basis.T, basis @ normal[:-1, -1])
    except np.linalg.LinAlgError as error:
        raise NotFound(APART) from error
    if not np.abs(numbers[:-2]).max() < FARTHEST_PX:
        raise NotFound("the refinement does not converge")
    return np.asarray(numbers[:-2] @ free, np.float64)


def _lengthen(longer: float, before: Floats, six: Floats) -> float:
    """How many times a step, a change [6], is taken; it was `longer` times for the step `before`.

    Slopes of noise make all steps too short, by one factor (Aitken's relaxation: Kuettler and Wall, Computational
    Mechanics 43(1), 2008).
    """
    change = six - before
    square = float(change @ change)
    return float(np.clip(-longer * (before @ change) / square, 1, MOST_LONGER)) if before.any() and square else 1.0


def to_reduced(matrix: Floats, fixed: Reduced, moving: Reduced) -> Floats:
    """The transform `matrix` [2, 3] between full-size pixels as one between pixels of the reduced slices, [2, 3]."""
    return np.asarray((np.linalg.inv(scaling(fixed.factor)) @ homogeneous(matrix) @ scaling(moving.factor))[:2])


def nearest_of_model(matrix: Floats, model: str, moving: Reduced) -> Floats:
    """The transform [2, 3] of `model` that moves the slice's centre as the affine `matrix` [2, 3] does, in pixels.

    A rigid model gets the nearest rotation (polar decomposition by SVD).
    """
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
