"""Puts slices where they belong on the canvas."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image, as_image
from clio_argo.kernels.features import area_mean
from clio_argo.model.alignment import IDENTITY, Floats, Matrix, apply, corners, homogeneous, to_matrix
from clio_argo.model.sizes import Size

THUMBNAIL_PX = 256
Bounds = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom exclusive."""


def footprint(matrix: Matrix, width: int, height: int) -> Bounds:
    """Where a slice lies on the canvas, in whole pixels."""
    points = apply(matrix, corners(width, height))
    left, top = np.floor(points.min(0) + 1e-6)
    right, bottom = np.ceil(points.max(0) - 1e-6) + 1
    return int(left), int(top), int(right), int(bottom)


def on_canvas(placed: Mapping[int, Floats], sizes: Mapping[int, Size]) -> tuple[dict[int, Matrix], Size]:
    """Move all slices by whole pixels so that the canvas begins at (0, 0).

    sizes: of each slice that is placed, as (width, height) in pixels. Returns the canvas's size; without slices, 1 x 1.
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
    """Resample a slice [y, x] into `canvas` [y, x] (cubic; positions exact to 1/32 px).

    Pixels of the canvas that the slice does not reach keep `background`.
    """
    height, width = pixels.shape
    left, top, right, bottom = footprint(matrix, width, height)
    moved = _warp(pixels, matrix, (left, top, right, bottom), background)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(canvas.shape[1], right), min(canvas.shape[0], bottom)
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = moved[y0 - top : y1 - top, x0 - left : x1 - left]


def cut(pixels: Image, factors: tuple[int, int], matrix: Matrix, box: Bounds) -> Image:
    """The part `box` of a reduced canvas, of a reduced slice [y, x] whose full-size pixels `matrix` places.

    factors: full-size pixels per pixel of the slice, and per pixel of the canvas.
    """
    slice_factor, canvas_factor = factors
    to_canvas = np.linalg.inv(_enlarging(canvas_factor)) @ homogeneous(matrix) @ _enlarging(slice_factor)
    return _warp(pixels, to_canvas[:2], box, 0)


def _enlarging(factor: int) -> Floats:
    """From the pixel centres of a reduced image to those of the full-size one, 3x3."""
    half = (factor - 1) / 2
    return np.array([[factor, 0, half], [0, factor, half], [0, 0, 1.0]])


def _warp(pixels: Image, matrix: Matrix | Floats, box: Bounds, background: int) -> Image:
    left, top, right, bottom = box
    local: Floats = np.array(matrix) - [[0, 0, left], [0, 0, top]]
    if np.array_equal(local, np.array(IDENTITY)) and pixels.shape == (bottom - top, right - left):
        return pixels
    moved = cv2.warpAffine(
        pixels,
        local,
        (right - left, bottom - top),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float(background),
    )
    return as_image(moved)


def thumbnail(plane: Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Area means, at most 256 px on the longer side."""
    return area_mean(plane, -(-max(plane.shape) // THUMBNAIL_PX))


def jpeg(image: NDArray[np.uint8], quality: int = 85) -> bytes:
    """A grey or RGB image [y, x(, 3)] as JPEG bytes."""
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def png(image: NDArray[np.uint8]) -> bytes:
    """A grey image [y, x] as PNG bytes."""
    return bytes(cv2.imencode(".png", image)[1])
