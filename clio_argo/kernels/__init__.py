"""Arrays in, arrays out: no files, no settings, no verdicts.

Images are arrays [y, x] of uint8 or uint16, volumes [z, y, x]; points and matrices are (x, y) in pixels, with pixel
centres on integers.
"""

from importlib.util import find_spec
from typing import cast

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8] | NDArray[np.uint16]


def as_image(array: object) -> Image:
    """The same array, of any shape, with the type `Image`: the type hints of OpenCV leave it open."""
    return cast(Image, np.asarray(array))


def limit_threads() -> None:
    """Limit OpenCV, where it is installed, to one thread per process; no environment variable does so."""
    if find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
