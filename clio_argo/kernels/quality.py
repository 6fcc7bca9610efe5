"""What can be said of one slice by itself."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image
from clio_argo.kernels.features import Mask, Reduced
from clio_argo.model.alignment import Floats

FINE_PX, COARSE_PX, STRIPE_PX = 1.0, 2.0, 6.0
LEAST_COLUMN = 0.3


def saturated(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Fractions of pixels at the lowest and at the highest value of a histogram."""
    total = float(counts.sum())
    return float(counts[0]) / total, float(counts[-1]) / total


def exposure(reduced: Reduced) -> tuple[float, float]:
    """(mean, standard deviation) where the slice shows something, in grey values of the file; (0, 0) if nowhere."""
    if not reduced.mask.any():
        return 0.0, 0.0
    low, high = reduced.window
    scale = (high - low) / 255
    mean, spread = _statistics(reduced.image, reduced.mask)
    return low + scale * mean, scale * spread


def focus(reduced: Reduced) -> float:
    """Contrast of detail between 1 and 2 px of the reduced slice over its whole contrast; falls with blur.

    A band and not the finest detail, which is mostly noise: noise of 12 % of the contrast changes it by 3 %.
    """
    image = reduced.image.astype(np.float32)
    band = cv2.GaussianBlur(image, (0, 0), FINE_PX) - cv2.GaussianBlur(image, (0, 0), COARSE_PX)
    return _share(_statistics(band, reduced.mask)[1], reduced)


def stripes(reduced: Reduced) -> float:
    """Contrast of straight stripes along either axis (curtains of the beam) over the whole contrast."""
    shown, mask = np.where(reduced.mask, reduced.image, 0), reduced.mask.astype(np.uint8)
    lines = ((_sums(shown, axis), _sums(mask, axis), length) for axis, length in enumerate(mask.shape))
    return _share(max(_waves(*line) for line in lines), reduced)


def _sums(image: Image, axis: int) -> Floats:
    return np.asarray(cv2.reduce(image, axis, cv2.REDUCE_SUM, dtype=cv2.CV_64F), np.float64).ravel()


def _waves(total: Floats, count: Floats, length: int) -> float:
    """Contrast of the means of all lines that show something on a third of their length, less what changes slowly."""
    kept = count > LEAST_COLUMN * length
    if not kept.any():
        return 0.0
    means = (total[kept] / count[kept]).astype(np.float32)
    return float((means - cv2.GaussianBlur(means[None], (0, 0), STRIPE_PX)[0]).std())


def _share(contrast: float, reduced: Reduced) -> float:
    _, whole = _statistics(reduced.image, reduced.mask)
    return contrast / whole if whole else 0.0


def _statistics(image: "Image | NDArray[np.float32]", mask: Mask) -> tuple[float, float]:
    """(mean, standard deviation) of an image where the mask is True; (0, 0) if nowhere."""
    mean, spread = cv2.meanStdDev(image, mask=mask.astype(np.uint8))
    return float(mean[0, 0]), float(spread[0, 0])


def middle_lines(image: Image) -> tuple[Image, Image]:
    """The middle row and the middle column of a slice [y, x]."""
    return image[image.shape[0] // 2], image[:, image.shape[1] // 2]
