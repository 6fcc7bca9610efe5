"""Windows of grey values, and the eight bits of the viewer volume."""

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image, as_image


def spread(pixels: Image, window: tuple[float, float], dtype: type[np.uint8] | type[np.uint16]) -> Image:
    """Map `window` linearly onto the whole range of `dtype`; values outside saturate."""
    low, high = window
    top = np.iinfo(dtype).max
    values = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=np.float64)
    table = np.rint(np.clip((values - low) * (top / (high - low)), 0, top)).astype(dtype)
    return as_image(table[pixels])


def inverted(window: tuple[float, float], top: int) -> tuple[float, float]:
    return top - window[1], top - window[0]


def to_viewer(pixels: Image, window: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Eight-bit values of the viewer volume."""
    if window is None:
        window = (0, np.iinfo(pixels.dtype).max)
    if window == (0, 255) and pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    return np.asarray(spread(pixels, window, np.uint8), np.uint8)
