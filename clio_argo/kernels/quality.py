"""What can be said of one slice by itself."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image
from clio_argo.kernels.features import Reduced


def grey_statistics(counts: NDArray[np.int64]) -> tuple[float, float, float, float]:
    """(mean, standard deviation, fraction at the lowest value, fraction at the highest) of a histogram."""
    values, total = np.arange(len(counts), dtype=np.float64), float(counts.sum())
    mean = float(counts @ values) / total
    std = float(np.sqrt(float(counts @ (values - mean) ** 2) / total))
    return mean, std, float(counts[0]) / total, float(counts[-1]) / total


def focus(reduced: Reduced) -> float:
    """Standard deviation of the Laplacian of the reduced slice over that of the slice; falls with blur."""
    spread = float(reduced.image.std())
    return float(cv2.Laplacian(reduced.image, cv2.CV_32F).std()) / spread if spread else 0.0


def middle_lines(image: Image) -> tuple[Image, Image]:
    """The middle row and the middle column of a slice [y, x]."""
    return image[image.shape[0] // 2], image[:, image.shape[1] // 2]
