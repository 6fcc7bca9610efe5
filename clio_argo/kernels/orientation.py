"""Fits slices that were turned by quarters or mirrored, which no stage does but a person or a program may.

An orientation is one of the eight linear maps [2, 2] that take the axes to the axes: entries are 0, 1 and -1.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Reduced
from clio_argo.kernels.match import Model, fit_pair, match_features
from clio_argo.kernels.register import NotFound
from clio_argo.model.alignment import Floats, Matrix, PairFit, apply, homogeneous, to_matrix

Orientation = NDArray[np.int_]
# as most slices lie
UPRIGHT: Orientation = np.eye(2, dtype=int)
# one of four; features tell how a slice is turned besides
MIRRORED: Orientation = np.diag([-1, 1])


def fit_oriented(
    fixed: Reduced, moving: Reduced, z0: int, z1: int, model: Model = "auto", check: bool = False
) -> PairFit:
    """`fit_pair`; without a fit, how the slices fit if one is turned or mirrored: see `PairFit.turned`."""
    fit = fit_pair(fixed, moving, z0, z1, model, check)
    for flip in () if fit.matched or check else (UPRIGHT, MIRRORED):
        try:
            orientation = nearest_orientation(match_features(fixed, orient(moving, flip)).matrix) @ flip
        except NotFound:
            continue
        if (orientation == UPRIGHT).all():
            continue
        # by features, as is all that tells of it: any two noisy slices have a best shift
        found = fit_pair(fixed, orient(moving, orientation), z0, z1, model, check=True)
        if found.matrix:
            whole = to_matrix(homogeneous(found.matrix) @ homogeneous(orientation_matrix(orientation, *_size(moving))))
            reason = f"the slices are {in_words(orientation)} against each other"
            return found.model_copy(update={"matrix": None, "turned": whole, "reason": reason})
    return fit


def nearest_orientation(matrix: Matrix | Floats) -> Orientation:
    """The orientation [2, 2] from which the linear part of `matrix` [2, 3] departs least."""
    linear = np.array(matrix)[:, :2]
    straight, swapped = np.eye(2, dtype=int), np.eye(2, dtype=int)[::-1]
    axes = straight if np.abs(linear * straight).sum() >= np.abs(linear * swapped).sum() else swapped
    return np.where(linear < 0, -axes, axes)


def orientation_matrix(orientation: Orientation, width: int, height: int) -> Floats:
    """The matrix [2, 3] that maps a pixel (x, y) of an image of width x height pixels to the image as it is turned."""
    last = np.array([width - 1, height - 1])
    # an axis that points the other way begins at the last pixel
    return np.hstack([orientation, (-np.minimum(orientation, 0) @ last)[:, None]]).astype(np.float64)


def in_words(orientation: Orientation) -> str:
    """What was done to a slice of this orientation [2, 2]."""
    if round(float(np.linalg.det(orientation))) < 0:
        return "mirrored"
    return f"turned by {90 * (1 - int(np.trace(orientation)) // 2)} degrees"


def orient(reduced: Reduced, orientation: Orientation) -> Reduced:
    """The slice [y, x] as it looks when it is turned or mirrored, with the features that SIFT would find in it.

    SIFT turns with the slice. In a mirrored one the 4 x 4 cells of a descriptor are mirrored along the direction of the
    feature, and so are the 8 directions in each.
    """
    image, mask = (_orient_pixels(pixels, orientation) for pixels in (reduced.image, reduced.mask))
    matrix, descriptors = orientation_matrix(orientation, *_size(reduced)), reduced.descriptors
    if np.linalg.det(orientation) < 0:
        cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1, :, -np.arange(8) % 8]
        descriptors = np.ascontiguousarray(cells).reshape(-1, 128)
    points = apply(matrix, reduced.points.astype(np.float64)).astype(np.float32)
    return replace(reduced, image=image, mask=mask, points=points, descriptors=descriptors)


def _size(reduced: Reduced) -> tuple[int, int]:
    """Width and height in full-size pixels of what was reduced."""
    height, width = (side * reduced.factor for side in reduced.image.shape)
    return width, height


def _orient_pixels(pixels: NDArray[Any], orientation: Orientation) -> NDArray[Any]:
    """`pixels` [y, x] as they look in this orientation [2, 2]."""
    turned = pixels if orientation[0, 0] else pixels.T
    along_x, along_y = orientation.sum(1)
    return np.ascontiguousarray(turned[::along_y, ::along_x])
