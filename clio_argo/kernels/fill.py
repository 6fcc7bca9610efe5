"""Finds what a slice shows beside tissue: fills of any grey value around it, with their noise and traces of JPEG.

A fill is exactly of one grey value, or it has no structure: after a blur, which takes most noise away, windows along
x or y differ in themselves by far less than those of tissue, and they reach the border of the frame.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image

Mask = NDArray[np.bool_]
# chosen: noise keeps 81 pixels of tissue from being equal
FLAT_PATCH = 9
# 2 px on either side of a fill mix it with tissue
AROUND = 5
# fills of 1 to 5 px, too thin for the patch: static stacks err by 0.10 px with them, by 0.002 px without
BORDER = 8
# of every fourth pixel: fills 12 px thin are seen, and windows of tissue 60 px long always show something
WINDOW, BLUR = (15, 3), 1.0
# chosen: four windows; along a shorter side one organelle can reach
LEAST_PX = 240
# of what four of five windows stay below. Fills: 0.01 to 0.06, 0.2 with noise; windows of mitochondria go down to 0.1
STRUCTURELESS, USUAL = 0.25, 80
# a moved slice leaves fill along whole sides; thin tips of wedges are not seen, mitochondria reach along a third
LEAST_SIDE = 0.7
# around it, of every fourth pixel: what the blur mixes, and blocks of JPEG that hold an edge
MARGIN = 2


def tissue_mask(image: Image) -> Mask:
    """Mask [y, x] of a reduced slice [y, x]: False on fills, within some pixels of them, and along the border.

    The border masks fills that are too thin to differ from tissue; unmasked, 4 px of fill bias a fit by 0.3 px.
    Images of less than four borders are not masked.
    """
    if min(image.shape) < 4 * BORDER:
        return np.ones(image.shape, np.bool_)
    flat = _of_one_value(image)
    inside = np.zeros(image.shape, np.bool_)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    return np.asarray(inside & ~flat & ~_structureless(image, flat), np.bool_)


def fill_mask(image: Image) -> Mask:
    """Fills of a reduced slice [y, x] that reach its border: bool [y, x]."""
    if min(image.shape) < 4 * BORDER:
        return np.zeros(image.shape, np.bool_)
    flat = _of_one_value(image)
    wide = (_at_border(flat, 0) | _structureless(image, flat)).astype(np.uint8)
    return np.asarray(cv2.erode(wide, np.ones((AROUND, AROUND), np.uint8)), np.bool_)


def _of_one_value(image: Image) -> Mask:
    """Patches of at least 9 x 9 equal pixels of an image [y, x], and 2 px around them: bool [y, x]."""
    patch = np.ones((FLAT_PATCH, FLAT_PATCH), np.uint8)
    flat = (cv2.dilate(image, patch) == cv2.erode(image, patch)).astype(np.uint8)
    # `flat` holds centres of patches; what is more are mixed grey values on each side of a fill
    return dilate(flat, (FLAT_PATCH + AROUND - 1, FLAT_PATCH + AROUND - 1))


def _structureless(image: Image, flat: Mask) -> Mask:
    """Fills without structure of an image [y, x] that reach its border: bool [y, x]. flat: where it has one value."""
    height, width = image.shape
    if min(height, width) < LEAST_PX:
        return np.zeros(image.shape, np.bool_)
    half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    smooth = np.asarray(cv2.GaussianBlur(half.astype(np.float32), (0, 0), BLUR), np.float32)[::2, ::2].copy()
    windows = {size: _variance(smooth, size) for size in (WINDOW, WINDOW[::-1])}
    tissue = np.minimum(*windows.values())[~flat[1::4, 1::4][: smooth.shape[0], : smooth.shape[1]]]
    limit = STRUCTURELESS**2 * np.percentile(tissue[::3], USUAL) if tissue.size else 0.0
    fill = np.logical_or(*(dilate(variance < limit, size) for size, variance in windows.items()))
    grown = dilate(_at_border(fill), (2 * MARGIN + 1, 2 * MARGIN + 1))
    return np.asarray(cv2.resize(grown.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0)


def _variance(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Variances [y, x] of the windows of `size` (width, height) around the pixels of an image [y, x]."""
    mean = cv2.blur(image, size, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.sqrBoxFilter(image, -1, size, borderType=cv2.BORDER_REFLECT_101) - mean * mean, np.float32)


def dilate(mask: NDArray[Any], size: tuple[int, int]) -> Mask:
    """The mask [y, x] grown by a window of `size` (width, height)."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones(size[::-1], np.uint8)), np.bool_)


def _at_border(fill: Mask, least: float = LEAST_SIDE) -> Mask:
    """The connected parts of `fill` [y, x] that reach a side of the frame of which at least so much is fill."""
    sides = (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1])
    long = [side for side in sides if fill[side].any() and fill[side].mean() >= least]
    if not long:
        return np.zeros(fill.shape, np.bool_)
    _, labels = cv2.connectedComponents(fill.astype(np.uint8), connectivity=4)
    return np.asarray(fill & np.isin(labels, np.concatenate([labels[side] for side in long])), np.bool_)
