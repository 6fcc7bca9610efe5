"""Means of planes in integers, so that every machine gives the same bytes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image

# rows at once: 64-bit sums of whole planes would take eight times the memory of each plane
BAND = 256


def blend(planes: Sequence[Image], reached: Sequence[NDArray[np.bool_]], weights: Sequence[int]) -> Image:
    """Weighted mean [y, x] of planes [y, x], rounded half up. A plane counts only at the pixels that it reaches.

    reached: bool [y, x] of each plane. Pixels that no plane reaches keep the value of the first plane, its background.
    """
    mean = planes[0].copy()
    for top in range(0, len(mean), BAND):
        rows = slice(top, top + BAND)
        shares = [w * r[rows].astype(np.int64) for w, r in zip(weights, reached, strict=True)]
        total = np.sum(shares, axis=0)
        grey = np.sum([s * p[rows] for s, p in zip(shares, planes, strict=True)], axis=0)
        mean[rows] = np.where(total > 0, (grey + total // 2) // np.maximum(total, 1), mean[rows])
    return mean
