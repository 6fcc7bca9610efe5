"""Resamples slices onto the canvas, and encodes pictures of planes."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image, as_image
from clio_argo.kernels.features import Bounds, area_mean, scaling
from clio_argo.model.alignment import IDENTITY, Floats, Matrix, apply, corners, homogeneous, to_matrix
from clio_argo.model.sizes import COMPILED_PX, Size

# chosen: a row of thumbnails fits on a screen, and each takes some kilobytes without a difference that the eye sees
THUMBNAIL_PX, JPEG_QUALITY = 256, 85
# of a linear part from 1; slices that turn or stretch more are warped as fast by OpenCV
FARTHEST = 0.03


def footprint(matrix: Matrix, width: int, height: int) -> Bounds:
    """Bounding box of a slice of width x height pixels that `matrix` (2x3) places on the canvas."""
    # places are rounded to 1e-4 px; smaller excesses are arithmetic and take no pixel
    points = apply(matrix, corners(width, height))
    left, top = np.floor(points.min(0) + 1e-6)
    right, bottom = np.ceil(points.max(0) - 1e-6) + 1
    return int(left), int(top), int(right), int(bottom)


def on_canvas(placed: Mapping[int, Floats], sizes: Mapping[int, Size]) -> tuple[dict[int, Matrix], Size]:
    """Move all slices by whole pixels so that the canvas begins at (0, 0).

    placed: matrices [2, 3] or [3, 3] by z. sizes: (width, height) of each placed slice in pixels.
    Returns the matrices on the canvas and its size (width, height), 1 x 1 without slices.
    """
    if not placed:
        return {}, (1, 1)
    rounded = {z: to_matrix(m) for z, m in placed.items()}
    boxes = np.array([footprint(m, *sizes[z]) for z, m in rounded.items()])
    left, top = (int(v) for v in boxes[:, :2].min(0))
    right, bottom = (int(v) for v in boxes[:, 2:].max(0))
    shift = np.array([[0, 0, left], [0, 0, top]], float)
    return {z: to_matrix(np.array(m) - shift) for z, m in rounded.items()}, (right - left, bottom - top)


def place(pixels: Image, matrix: Matrix, canvas: Image, background: int) -> None:
    """Resample a slice [y, x] into `canvas` [y, x], in place: cubic.

    matrix: 2x3, from pixels of the slice to the canvas. Within the slice's bounding box, pixels that it does not reach
    become `background`.
    """
    height, width = pixels.shape
    left, top, right, bottom = footprint(matrix, width, height)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(canvas.shape[1], right), min(canvas.shape[0], bottom)
    if (left, top, right, bottom) == (x0, y0, x1, y1):
        _warp(pixels, matrix, canvas, (left, top, right, bottom), background)
    elif x0 < x1 and y0 < y1:
        # where a canvas ends must not decide how a voxel is rounded
        moved = as_image(np.empty((bottom - top, right - left), pixels.dtype))
        _warp(pixels, np.array(matrix) - [[0, 0, left], [0, 0, top]], moved, (0, 0, *moved.shape[::-1]), background)
        canvas[y0:y1, x0:x1] = moved[y0 - top : y1 - top, x0 - left : x1 - left]


def cut(pixels: Image, factors: tuple[int, int], matrix: Matrix, box: Bounds) -> Image:
    """The part `box` [y, x] of a reduced canvas on which a reduced slice [y, x] is placed; 0 elsewhere.

    factors: full-size pixels per pixel of the slice, and per pixel of the canvas. matrix: 2x3, of full-size pixels.
    box: in pixels of the reduced canvas.
    """
    slice_factor, canvas_factor = factors
    left, top, right, bottom = box
    to_canvas = np.linalg.inv(scaling(canvas_factor)) @ homogeneous(matrix) @ scaling(slice_factor)
    part = np.zeros((bottom - top, right - left), pixels.dtype)
    _warp(pixels, to_canvas[:2] - [[0, 0, left], [0, 0, top]], as_image(part), (0, 0, *part.shape[::-1]), 0)
    return as_image(part)


def _warp(pixels: Image, matrix: Matrix | Floats, canvas: Image, box: Bounds, background: int) -> None:
    """Fill the part `box` of a canvas [y, x], in place, with a slice [y, x] that `matrix` [2, 3] places; cubic."""
    left, top, *_ = box
    part = canvas[top : box[3], left : box[2]]
    local: Floats = np.array(matrix, float) - [[0, 0, left], [0, 0, top]]
    # slices that are not aligned, or were aligned before, stay as they are
    if np.array_equal(local, np.array(IDENTITY)) and pixels.shape == part.shape:
        part[:] = pixels
    elif pixels.size >= COMPILED_PX and np.abs(local[:, :2] - np.eye(2)).max() < FARTHEST:
        # imported here: small slices need no compiler
        from clio_argo.kernels.cubic import resample

        resample(pixels, local, canvas, box, background)
    else:
        border = float(background)
        part[:] = cv2.warpAffine(pixels, local, part.shape[::-1], flags=cv2.INTER_CUBIC, borderValue=border)


def thumbnail(plane: Image) -> Image:
    """Area means of a plane [y, x], at most 256 px on the longer side."""
    return area_mean(plane, thumbnail_factor(plane.shape))


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """A grey image [y, x] as JPEG bytes."""
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])


def read_picture(data: bytes, half: bool = False) -> NDArray[np.uint8]:
    """The grey image [y, x] that `jpeg` or `png` made; `half` of its rows and columns, of a JPEG in less time."""
    how = cv2.IMREAD_REDUCED_GRAYSCALE_2 if half else cv2.IMREAD_GRAYSCALE
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), how), np.uint8)


def thumbnail_factor(shape: tuple[int, ...]) -> int:
    """Pixels of a plane of `shape` (height, width) per pixel of its thumbnail."""
    return -(-max(shape) // THUMBNAIL_PX)


def png(image: NDArray[np.uint8]) -> bytes:
    """A grey image [y, x] as PNG bytes."""
    return bytes(cv2.imencode(".png", image)[1])
