"""Means of planes, in whole numbers: the same on every machine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image

BAND = 256


def blend(planes: Sequence[Image], reached: Sequence[NDArray[np.bool_]], weights: Sequence[int]) -> Image:
    """Weighted mean of planes [y, x], rounded half up. Only planes that reach a pixel count there.

    A pixel that none reaches keeps the value of the first, its background.
    """
    mean = planes[0].copy()
    for top in range(0, len(mean), BAND):
        rows = slice(top, top + BAND)
        shares = [w * r[rows].astype(np.int64) for w, r in zip(weights, reached, strict=True)]
        total = np.sum(shares, axis=0)
        grey = np.sum([s * p[rows] for s, p in zip(shares, planes, strict=True)], axis=0)
        mean[rows] = np.where(total > 0, (grey + total // 2) // np.maximum(total, 1), mean[rows])
    return mean
