"""Resamples slices onto the canvas, and encodes pictures of planes."""

from collections.abc import Mapping
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image, as_image
from clio_argo.kernels.features import Bounds, area_mean, scaling
from clio_argo.model.alignment import IDENTITY, Floats, Matrix, apply, corners, homogeneous, to_matrix
from clio_argo.model.sizes import Size

# chosen: a row of thumbnails fits on a screen, and each takes some kilobytes without a difference that the eye sees
THUMBNAIL_PX, JPEG_QUALITY = 256, 85
# a tile in which no pixel is off by more than this is shifted as a whole; pairs err by 0.2 px
TILE_ERROR_PX = 0.01
# tiles of 64 px take half the time of a warp, of 1024 px a fifth, as whole slices do, which need two more planes
SMALLEST_TILE_PX, LARGEST_TILE_PX = 64, 1024
# Keys, IEEE TASSP 29(6), 1981, with OpenCV's parameter
CUBIC = -0.75


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
    """Resample a slice [y, x] into `canvas` [y, x], in place: cubic, positions exact to 0.01 px.

    matrix: 2x3, from pixels of the slice to the canvas. Within the slice's bounding box, pixels that it does not reach
    become `background`.
    """
    height, width = pixels.shape
    left, top, right, bottom = footprint(matrix, width, height)
    moved = _warp(pixels, matrix, (left, top, right, bottom), background)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(canvas.shape[1], right), min(canvas.shape[0], bottom)
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = moved[y0 - top : y1 - top, x0 - left : x1 - left]


def cut(pixels: Image, factors: tuple[int, int], matrix: Matrix, box: Bounds) -> Image:
    """The part `box` [y, x] of a reduced canvas on which a reduced slice [y, x] is placed; 0 elsewhere.

    factors: full-size pixels per pixel of the slice, and per pixel of the canvas. matrix: 2x3, of full-size pixels.
    box: in pixels of the reduced canvas.
    """
    slice_factor, canvas_factor = factors
    to_canvas = np.linalg.inv(scaling(canvas_factor)) @ homogeneous(matrix) @ scaling(slice_factor)
    return _warp(pixels, to_canvas[:2], box, 0)


def _warp(pixels: Image, matrix: Matrix | Floats, box: Bounds, background: int) -> Image:
    """The part `box` of the canvas [y, x] with an image [y, x] that `matrix` [2, 3] places, cubic; else background."""
    left, top, right, bottom = box
    local: Floats = np.array(matrix) - [[0, 0, left], [0, 0, top]]
    # slices that are not aligned, or were aligned before, stay as they are
    if np.array_equal(local, np.array(IDENTITY)) and pixels.shape == (bottom - top, right - left):
        return pixels
    changes = float(np.abs(local[:, :2] - np.eye(2)).sum(1).max())
    tile = int(min(LARGEST_TILE_PX, 2 * TILE_ERROR_PX / max(changes, 1e-9)))
    if tile >= SMALLEST_TILE_PX:
        return _by_tiles(pixels, local, (bottom - top, right - left), tile, background)
    size = (right - left, bottom - top)
    return as_image(cv2.warpAffine(pixels, local, size, flags=cv2.INTER_CUBIC, borderValue=float(background)))


def _by_tiles(pixels: Image, matrix: Floats, shape: tuple[int, int], tile: int, background: int) -> Image:
    """An image [y, x] of `shape` (height, width) made of tiles that are shifted only: `matrix` [2, 3] is near 1."""
    moved = np.empty(shape, pixels.dtype)
    back = np.asarray(np.linalg.inv(homogeneous(matrix))[:2], np.float64)
    for y, x in product(range(0, shape[0], tile), range(0, shape[1], tile)):
        part = moved[y : y + tile, x : x + tile]
        height, width = part.shape
        centre = np.array([[x + (width - 1) / 2, y + (height - 1) / 2]])
        whole, rest = np.divmod(apply(back, centre)[0] - centre[0], 1)
        left, top = int(whole[0]) + x - 1, int(whole[1]) + y - 1
        around = _within(pixels, (left, top, left + width + 3, top + height + 3), background)
        part[:] = cv2.sepFilter2D(around, -1, _taps(rest[0]), _taps(rest[1]), anchor=(1, 1))[1:-2, 1:-2]
    return as_image(moved)


def _taps(rest: float) -> Floats:
    """Weights [4] of the pixels from -1 to 2 at a place from 0 to 1."""
    near, far = np.array([rest, 1 - rest]), np.array([1 + rest, 2 - rest])
    inner = ((CUBIC + 2) * near - (CUBIC + 3)) * near**2 + 1
    outer = CUBIC * (((far - 5) * far + 8) * far - 4)
    return np.array([outer[0], *inner, outer[1]])


def _within(pixels: Image, box: Bounds, background: int) -> Image:
    """The part `box` of an image [y, x], and `background` beyond it."""
    left, top, right, bottom = box
    height, width = pixels.shape
    inside = pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if not inside.size:
        return as_image(np.full((bottom - top, right - left), background, pixels.dtype))
    above, below, before, behind = (max(0, n) for n in (-top, bottom - height, -left, right - width))
    if not any((above, below, before, behind)):
        return inside
    border = cv2.BORDER_CONSTANT
    return as_image(cv2.copyMakeBorder(inside, above, below, before, behind, border, value=float(background)))


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
