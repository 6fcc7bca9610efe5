"""Reduces a decoded slice to what alignment needs: a small image, its mask and its SIFT features."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image, as_image
from clio_argo.kernels.fill import BORDER, Mask, tissue_mask
from clio_argo.model.alignment import Floats

# at this size refined pairs of 5000 px slices err by 0.07 to 0.12 px at a corner, less than tissue moves (0.26 px)
REDUCED_PX = 1250
# side of a square: as many inliers as larger images have, in a third of the time (docs/design.md)
FEATURE_PX = 200
# chosen: what is left of a slice that is far smaller than others of its stack still has features
LEAST_FEATURE_PX = 100
# hundreds of inliers per pair are enough, and matching takes the square of the number
FEATURES = 600
# saturated on either side, as in FIJI's SIFT alignment; threshold of SIFT, OpenCV's default
STRETCH, CONTRAST = 0.0035, 0.04
# Gaussian sigma: 56 inliers under noise of 60 grey levels, 20 at 0.8 px, 73 at 2.5 px, where flat slices lose detail
ENHANCE_BLUR = 1.5
# a quarter of the default: flat slices have weak features; noisy ones have as many inliers with either
WEAK_CONTRAST = 0.01
# clip limit and tiles of CLAHE. Chosen: strong, and coarse, since only features are sought
ENHANCE_CLIP, ENHANCE_TILES = 3.0, (4, 4)


Bounds = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom exclusive."""


@dataclass(frozen=True)
class Area:
    """Where a slice may be tissue, in full-size pixels: inside of `box`, and in none of the `ignored` rectangles.

    excluded: bool [y, x], from the file's first pixel on, where it is not.
    """

    box: Bounds
    ignored: tuple[Bounds, ...] = ()
    excluded: Mask | None = None


EVERYWHERE = Area((0, 0, 1 << 30, 1 << 30))


@dataclass(frozen=True)
class Reduced:
    """A slice as alignment sees it.

    image: uint8 [y, x], area means of `factor` x `factor` pixels, contrast stretched.
    mask: bool [y, x], False on fills and along the border.
    points: float32 [n, 2], (x, y) of features in full-size pixels.
    descriptors: uint8 [n, 128], SIFT: 4 x 4 cells of histograms with 8 directions.
    feature_factor: full-size pixels per pixel of the image on which features were detected.
    window: grey values of the file at 0 and 255 of `image`.
    patterned: whether something stays in the frame of the stack, which the mask leaves out.
    """

    image: NDArray[np.uint8]
    mask: Mask
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    factor: int
    feature_factor: float
    window: tuple[float, float] = (0.0, 255.0)
    patterned: bool = False

    @cached_property
    def grey(self) -> tuple[float, float]:
        """Mean and standard deviation of `image` where the mask is True; (0, 0) if nowhere."""
        return statistics(self.image, self.mask)

    @cached_property
    def enhanced(self) -> "Reduced":
        """The slice [y, x] blurred and equalised (CLAHE), with weak features too: for noisy or flat slices."""
        smooth = cv2.GaussianBlur(self.image, (0, 0), ENHANCE_BLUR)
        image = np.asarray(cv2.createCLAHE(ENHANCE_CLIP, ENHANCE_TILES).apply(smooth), np.uint8)
        points, descriptors = find_features(image, self.mask, self.feature_factor / self.factor, WEAK_CONTRAST)
        return replace(self, image=image, points=to_full(points, self.factor), descriptors=descriptors)

    @cached_property
    def enhanced_coarse(self) -> "Reduced":
        """The slice enhanced, with features at half the size: thick sections share only large structures."""
        return replace(self, feature_factor=2 * self.feature_factor).enhanced


def reduce_slice(
    pixels: Image, largest: tuple[int, int], downsample: int = 1, detect: bool = True, area: Area = EVERYWHERE
) -> Reduced:
    """Reduce a slice [y, x] and detect its features at 200 x 200 pixels, or at 1/`downsample` of its size if less.

    largest: width and height in pixels that hold any slice of the stack. The longer one becomes about 1250 px; smaller
    slices are reduced by the same factor, so that neighbours show the same detail.
    area: where it may be tissue.
    """
    factor = max(1, round(max(largest) / REDUCED_PX))
    small = area_mean(pixels, factor)
    mask = _mask(small, area, factor)
    window = percentiles(histogram(small, mask), (STRETCH, 1 - STRETCH))
    image = stretch(small, window)
    # by area: a long strip, reduced by its length, would keep no detail across
    sides = sqrt(prod(largest)) // factor / FEATURE_PX, sqrt(prod(small.shape)) / LEAST_FEATURE_PX
    coarse = max(1.0, min(sides), downsample / factor)
    points, descriptors = find_features(image, mask, coarse) if detect else no_features()
    return Reduced(image, mask, to_full(points, factor), descriptors, factor, factor * coarse, window)


def _mask(small: Image, area: Area, factor: int) -> Mask:
    """Where a reduced slice [y, x] shows tissue within `area`."""
    left, top, right, bottom = area.box
    inside = np.s_[-(-top // factor) : max(0, bottom // factor), -(-left // factor) : max(0, right // factor)]
    mask = np.zeros(small.shape, np.bool_)
    mask[inside] = tissue_mask(small[inside])
    for x0, y0, x1, y1 in area.ignored:
        mask[y0 // factor : -(-y1 // factor), x0 // factor : -(-x1 // factor)] = False
    if area.excluded is not None:
        height, width = (int(side) for side in small.shape)
        blocks = area.excluded[: height * factor, : width * factor].reshape(height, factor, width, factor)
        mask &= ~blocks.any((1, 3))
    return mask


def area_mean(pixels: Image, factor: int) -> Image:
    """Means of `factor` x `factor` pixels of an image [y, x]; right and lower remainders are cut off."""
    height, width = (s // factor for s in pixels.shape)
    if factor == 1 or not height or not width:
        return pixels
    cut = pixels[: height * factor, : width * factor]
    return as_image(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA))


def statistics(image: "Image | NDArray[np.float32]", mask: Mask) -> tuple[float, float]:
    """(mean, standard deviation) of an image [y, x] where the mask [y, x] is True; (0, 0) if nowhere."""
    mean, std = cv2.meanStdDev(image, mask=mask.astype(np.uint8))
    return float(mean[0, 0]), float(std[0, 0])


def to_full(points: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Points [n, 2] in pixels of an image reduced by `factor`, converted to pixels of the unreduced image."""
    return points * np.float32(factor) + np.float32((factor - 1) / 2)


def scaling(factor: int) -> Floats:
    """The same map as `to_full` as a matrix [3, 3]."""
    return np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])


def stretch(image: Image, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Map the grey values of `window` linearly to 0..255 in an image of any shape; an empty window gives 0."""
    low, high = window
    if high <= low:
        return np.zeros(image.shape, np.uint8)
    scale = 255.0 / (high - low)
    table = np.clip((np.arange(np.iinfo(image.dtype).max + 1) - low) * scale, 0, 255)
    grey = np.rint(table).astype(np.uint8)
    return np.asarray(cv2.LUT(image, grey) if image.dtype == np.uint8 else grey[image], np.uint8)


def histogram(image: Image, mask: Mask | None = None) -> NDArray[np.int64]:
    """Counts [256] or [65536] of all grey values of the data type of an image [y, x].

    mask: bool [y, x], of which pixels count; of all if it is True nowhere.
    """
    bins = int(np.iinfo(image.dtype).max) + 1
    counted = mask.astype(np.uint8) if mask is not None and mask.any() else None
    counts = cv2.calcHist([image], [0], counted, [bins], [0, bins])
    return np.asarray(counts).ravel().astype(np.int64)


def tissue_histogram(pixels: Image, reduced: Reduced, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts of the grey values of a slice [y, x] where it shows tissue.

    counts: those of all pixels [values], returned if there is no fill; or nothing else.
    """
    if reduced.mask[BORDER:-BORDER, BORDER:-BORDER].all():
        return counts
    height, width = (s * reduced.factor for s in reduced.mask.shape)
    mask = cv2.resize(reduced.mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return histogram(pixels[:height, :width], np.asarray(mask, np.bool_))


def percentiles(counts: NDArray[np.int64], fractions: tuple[float, float]) -> tuple[float, float]:
    """Grey values below which the given fractions (0 to 1) of all pixels of a histogram [values] lie."""
    total = np.cumsum(counts)
    low, high = (int(np.searchsorted(total, f * total[-1])) for f in fractions)
    return float(low), float(min(high, len(counts) - 1))


def find_features(
    image: NDArray[np.uint8], mask: Mask, factor: float, contrast: float = CONTRAST
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """SIFT features (Lowe, IJCV 60(2), 2004; OpenCV) of `image` [y, x] reduced once more by `factor`.

    mask: bool [y, x]; features lie where it is True. contrast: threshold of SIFT; lower ones give weaker features.
    Returns points float32 [n, 2], (x, y) in pixels of `image`, and descriptors uint8 [n, 128].
    """
    height, width = (max(1, round(s / factor)) for s in image.shape)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    valid = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    sift = cv2.SIFT_create(nfeatures=FEATURES, contrastThreshold=contrast)  # type: ignore[attr-defined]
    keypoints, descriptors = sift.detectAndCompute(small, valid)
    if descriptors is None:
        return no_features()
    points = to_full(np.array([k.pt for k in keypoints], np.float32), image.shape[1] / width)
    return points, np.asarray(descriptors, np.uint8)


def no_features() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Points [0, 2] and descriptors [0, 128] of a slice without features."""
    return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
