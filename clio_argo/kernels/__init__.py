"""Arrays in, arrays out. No files, no configuration."""

from importlib.util import find_spec
from typing import cast

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8] | NDArray[np.uint16]


def as_image(array: object) -> Image:
    """What OpenCV returns, which its type hints leave open."""
    return cast(Image, np.asarray(array))


def limit_threads() -> None:
    """One thread per process for OpenCV, whose threads cannot be limited from the environment."""
    # the image that only writes volumes has no OpenCV
    if find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
