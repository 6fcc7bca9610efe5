"""From a decoded slice to what alignment needs of it: a small image, its mask, and SIFT features."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image, as_image

REDUCED_PX = 1250
FEATURE_PX = 420
FEATURES = 1000
FLAT_PATCH, BORDER = 9, 8
STRETCH = 0.0035

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Reduced:
    """A slice as alignment sees it.

    image: uint8 [h, w], area means of `factor` x `factor` pixels, contrast stretched.
    mask: bool [h, w], False on flat patches (borders, fills).
    points: float32 [n, 2], (x, y) of features in full-size pixels.
    descriptors: uint8 [n, 128].
    feature_factor: full-size pixels per pixel of the image that features were found on.
    window: grey values of the file at 0 and 255 of `image`.
    """

    image: NDArray[np.uint8]
    mask: Mask
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    factor: int
    feature_factor: float
    window: tuple[float, float] = (0.0, 255.0)


def reduce_slice(pixels: Image, largest_px: int, downsample: int = 1, detect: bool = True) -> Reduced:
    """Reduce a slice [y, x], and find its features at 420 px or 1/`downsample`, if that is less.

    largest_px: longest side of any slice of the stack. It becomes about 1250 px; smaller slices are reduced
    by the same factor, so that neighbours show the same detail.
    """
    factor = max(1, round(largest_px / REDUCED_PX))
    small = area_mean(pixels, factor)
    window = percentiles(histogram(small), (STRETCH, 1 - STRETCH))
    image = stretch(small, window)
    mask = valid_mask(image)
    coarse = max(1.0, largest_px // factor / FEATURE_PX, downsample / factor)
    points, descriptors = find_features(image, mask, coarse) if detect else no_features()
    return Reduced(image, mask, to_full(points, factor), descriptors, factor, factor * coarse, window)


def area_mean(pixels: Image, factor: int) -> Image:
    """Means of `factor` x `factor` pixels; right and lower remainders are cut off."""
    height, width = (s // factor for s in pixels.shape)
    if factor == 1 or not height or not width:
        return pixels
    cut = pixels[: height * factor, : width * factor]
    return as_image(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA))


def to_full(points: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Pixel positions of an image reduced by `factor`, in pixels of the unreduced one."""
    return points * np.float32(factor) + np.float32((factor - 1) / 2)


def stretch(image: Image, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Spread the grey values of `window` over 0..255 (0.35 % are saturated on either side, as in FIJI's SIFT)."""
    low, high = window
    if high <= low:
        return np.zeros(image.shape, np.uint8)
    scale = 255.0 / (high - low)
    table = np.clip((np.arange(np.iinfo(image.dtype).max + 1) - low) * scale, 0, 255)
    return np.asarray(np.rint(table).astype(np.uint8)[image], np.uint8)


def histogram(image: Image) -> NDArray[np.int64]:
    """Counts of all grey values of the data type."""
    bins = int(np.iinfo(image.dtype).max) + 1
    counts = cv2.calcHist([image], [0], None, [bins], [0, bins])
    return np.asarray(counts).ravel().astype(np.int64)


def percentiles(counts: NDArray[np.int64], fractions: tuple[float, float]) -> tuple[float, float]:
    """Grey values below which the given fractions of all pixels lie."""
    total = np.cumsum(counts)
    low, high = (int(np.searchsorted(total, f * total[-1])) for f in fractions)
    return float(low), float(min(high, len(counts) - 1))


def valid_mask(image: NDArray[np.uint8]) -> Mask:
    """False on patches of at least 9 x 9 equal pixels (fills), within 2 px of them, and along the border.

    The border hides fills too thin to be told from tissue; unmasked, 4 px of fill bias a fit by 0.3 px.
    """
    if min(image.shape) < 4 * BORDER:
        return np.ones(image.shape, np.bool_)
    patch = np.ones((FLAT_PATCH, FLAT_PATCH), np.uint8)
    flat = (cv2.dilate(image, patch) == cv2.erode(image, patch)).astype(np.uint8)
    grown = cv2.dilate(flat, np.ones((FLAT_PATCH + 4, FLAT_PATCH + 4), np.uint8))
    inside = np.zeros(image.shape, np.bool_)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    return np.asarray(inside & (np.asarray(grown) == 0), np.bool_)


def find_features(
    image: NDArray[np.uint8], mask: Mask, factor: float, contrast: float = 0.04
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """SIFT features of `image` reduced once more by `factor`; points in pixels of `image`.

    Lowe, IJCV 60(2), 2004. Fewer pixels give more matches: at 420 px a third more than at 625.
    """
    height, width = (max(1, round(s / factor)) for s in image.shape)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    valid = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    sift = cv2.SIFT_create(nfeatures=FEATURES, contrastThreshold=contrast)  # type: ignore[attr-defined]
    found, descriptors = sift.detectAndCompute(small, valid)
    if descriptors is None:
        return no_features()
    points = to_full(np.array([k.pt for k in found], np.float32), image.shape[1] / width)
    return points, np.asarray(descriptors, np.uint8)


def no_features() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
