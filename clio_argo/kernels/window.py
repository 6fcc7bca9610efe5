"""Windows of grey values, and the 8-bit values of the viewer volume."""

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image, as_image


def spread(pixels: Image, window: tuple[float, float], dtype: type[np.uint8] | type[np.uint16]) -> Image:
    """Map `window` (grey values) linearly onto the whole range of `dtype` in an image of any shape; others saturate."""
    low, high = window
    top = np.iinfo(dtype).max
    values = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.float64)
    table = np.rint(np.clip((values - low) * (top / (high - low)), 0, top)).astype(dtype)
    return as_image(table[pixels])


def invert_window(window: tuple[float, float], top: int) -> tuple[float, float]:
    """The window of the inverted image, whose grey values are `top` less those of the image."""
    return top - window[1], top - window[0]


def to_viewer(pixels: Image, window: tuple[float, float] | None) -> NDArray[np.uint8]:
    """8-bit values of the viewer volume from an array of any shape; without a window, the whole range of its dtype."""
    if window is None:
        window = (0, np.iinfo(pixels.dtype).max)
    if window == (0, 255) and pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    return np.asarray(spread(pixels, window, np.uint8), np.uint8)
