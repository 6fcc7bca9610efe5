"""Statistics of one slice by itself: exposure, focus, stripes."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image
from clio_argo.kernels.features import Reduced, statistics
from clio_argo.model.alignment import Floats

# Gaussian sigmas: between them good slices vary by 4 %, in the Laplacian (which sees noise) by 14 %
FINE_PX, COARSE_PX = 1.0, 2.0
# Gaussian sigma: curtained slices reach 5.4 times the plain ones, 3.8 at 16 px; 2 px (6.3) misses wide curtains
STRIPE_PX = 6.0
# chosen: the mean of a line over less of its length shows structures instead of stripes
LEAST_LINE = 0.3


def saturation(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Fractions (0 to 1) of pixels at the lowest and at the highest grey value of a histogram [values]."""
    total = float(counts.sum())
    return float(counts[0]) / total, float(counts[-1]) / total


def exposure(reduced: Reduced) -> tuple[float, float]:
    """(mean, standard deviation) in grey values of the file where the mask is True; (0, 0) if nowhere."""
    if not reduced.mask.any():
        return 0.0, 0.0
    low, high = reduced.window
    scale = (high - low) / 255
    mean, std = reduced.grey
    return low + scale * mean, scale * std


def focus(reduced: Reduced) -> float:
    """Standard deviation of detail between 1 and 2 px of the reduced slice over that of the slice; falls with blur.

    The detail is a difference of Gaussians. A finer band would be mostly noise; noise of 12 % of the contrast changes
    this one by 3 %.
    """
    image = reduced.image.astype(np.float32)
    band = cv2.GaussianBlur(image, (0, 0), FINE_PX) - cv2.GaussianBlur(image, (0, 0), COARSE_PX)
    return _share(statistics(band, reduced.mask)[1], reduced)


def stripes(reduced: Reduced) -> float:
    """Standard deviation of straight stripes along x or y (curtains of the beam) over that of the slice."""
    image, mask = np.asarray(reduced.image * reduced.mask, np.uint8), reduced.mask.astype(np.uint8)
    lines = ((_sums(image, axis), _sums(mask, axis), length) for axis, length in enumerate(mask.shape))
    return _share(max(_waves(*line) for line in lines), reduced)


def _sums(image: NDArray[np.uint8], axis: int) -> Floats:
    """Sums of an image [y, x] over `axis`: [x] for 0, [y] for 1."""
    # in whole numbers, which a reduced slice cannot exceed: OpenCV takes forty times as long for others
    return np.asarray(cv2.reduce(image, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S), np.float64).ravel()


def _waves(total: Floats, count: Floats, length: int) -> float:
    """Standard deviation (grey values) of the means of lines, without what changes slowly from line to line.

    total, count: sums of grey values and numbers of valid pixels [lines]. length: pixels of a line.
    Lines that are valid on less than 30 % of their length are left out.
    """
    kept = count > LEAST_LINE * length
    if not kept.any():
        return 0.0
    means = (total[kept] / count[kept]).astype(np.float32)
    return float((means - cv2.GaussianBlur(means[None], (0, 0), STRIPE_PX)[0]).std())


def _share(contrast: float, reduced: Reduced) -> float:
    """`contrast` over the standard deviation of the whole slice, a scalar; 0 if the slice is flat."""
    _, whole = reduced.grey
    return contrast / whole if whole else 0.0


def middle_lines(image: Image) -> tuple[Image, Image]:
    """The middle row [x] and the middle column [y] of a slice [y, x]."""
    return image[image.shape[0] // 2], image[:, image.shape[1] // 2]
