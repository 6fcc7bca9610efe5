"""Coarser scales: means on the absolute grid, rounded halves to even."""

import math
from typing import TypeVar

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from clio_argo.model.volume import Box, Zyx, zyx

V = TypeVar("V", bound=NDArray[np.generic])
ONE_THREAD = {"data_copy_concurrency": {"limit": 1}}


def coarser(voxels: V, begin: Zyx, factor: Zyx) -> tuple[V, Box]:
    """Means of the cells of `factor` voxels [z, y, x] that `voxels`, which begin at `begin`, touch.

    A cell at the border is the mean of the voxels that exist. Returns the array and its box on the coarser grid.
    """
    if math.prod(factor) == 1:
        return voxels, Box(begin=begin, end=zyx(b + s for b, s in zip(begin, voxels.shape, strict=True)))
    fine = ts.array(voxels, context=ts.Context(ONE_THREAD)).translate_to[begin]
    view = ts.downsample(fine, list(factor), method="mean")
    box = Box(begin=zyx(view.domain.inclusive_min), end=zyx(view.domain.exclusive_max))
    return view.read().result(), box  # type: ignore[return-value]
