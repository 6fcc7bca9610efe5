"""What goes wrong with real slices, made on purpose: the kinds that microscopes make."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]


def bytes_of(values: Image) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def dark(image: Image) -> Image:
    return bytes_of(image * 0.25)


def bright(image: Image) -> Image:
    return bytes_of(image * 1.7 + 50)


def blurred(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 4.0))


def curtained(image: Image) -> Image:
    """Vertical stripes a few pixels wide."""
    waves = np.random.default_rng(0).normal(0, 60, (1, image.shape[1])).astype(np.float32)
    return bytes_of(image + cv2.GaussianBlur(waves, (0, 0), 2.0)[0])


def displaced(image: Image) -> Image:
    """The lower 40 % moved sideways by 12 px."""
    moved = image.copy()
    row = len(image) * 6 // 10
    moved[row:] = np.roll(moved[row:], 12, 1)
    return moved


def covered(image: Image) -> Image:
    """Dirt over a tenth of the field."""
    height, width = image.shape
    return np.asarray(cv2.ellipse(image.copy(), ((width / 2, height / 2), (width * 0.5, height * 0.28), 0), 8, -1))


def noise(image: Image) -> Image:
    return bytes_of(np.random.default_rng(1).normal(128, 40, image.shape))


def black(image: Image) -> Image:
    return np.zeros_like(image)


DEFECTS: dict[str, Callable[[Image], Image]] = {
    f.__name__: f for f in (dark, bright, blurred, curtained, displaced, covered)
}
UNALIGNABLE: dict[str, Callable[[Image], Image]] = {f.__name__: f for f in (noise, black)}
