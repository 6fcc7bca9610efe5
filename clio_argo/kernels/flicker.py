"""Flicker: brightness and contrast that change from slice to slice, evened out towards their long course.

The course is a robust line through the slices around each: a ramp stays, an odd slice does not count. Where the
line through the slices on one side fits much better than the one through both sides, a step lies there, and that side
alone counts: real steps stay as sharp as they are.
"""

import warnings

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from clio_argo.model.alignment import Floats

# twice the scatter that the spread of 50 normal values has by chance
STEP = 1.3


def course(values: Floats, window: int) -> Floats:
    """Long-term course [slices] of `values` [slices], any unit, over up to `window` slices on either side.

    Robust lines (see the module): NaN in `values` is unknown and has no weight.
    """
    z = np.arange(len(values))
    level, spread = _lines(values, z - window, 2 * window + 1)
    begins = (z - window, z)
    sides = [_lines(values, first, window + 1) for first in begins]
    # a window that had to be moved inwards at an end lies on both sides, and proves no step
    inside = [first == np.clip(first, 0, len(z) - window - 1) for first in begins]
    fit = [np.where(whole, s, np.inf) for whole, (_, s) in zip(inside, sides, strict=True)]
    # next to a step both sides fit; the slice's own value decides, at half weight since it flickers
    cost = [s + np.abs(np.nan_to_num(values - v)) / 2 for s, (v, _) in zip(fit, sides, strict=True)]
    side = (cost[1] < cost[0]).astype(int)
    return np.where(np.choose(side, fit) * STEP < spread, np.choose(side, [v for v, _ in sides]), level)


def _lines(values: Floats, first: NDArray[np.int64], size: int) -> tuple[Floats, Floats]:
    """Robust lines through `size` of `values` [n] from index `first` [n] on: value at each slice, and spread, [n] each.

    The slope joins the medians of both halves, the level is the median of the residuals, the spread their median
    absolute deviation. Windows that reach beyond an end are moved inwards.
    """
    size, z = min(size, len(values)), np.arange(len(values))
    first, half = np.clip(first, 0, len(values) - size), max(1, size // 2)
    windows = sliding_window_view(values, size)[first]
    place = (first - z)[:, None] + np.arange(size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # windows of which nothing is known
        rise = np.nanmedian(windows[:, -half:], 1) - np.nanmedian(windows[:, :half], 1)
        slope = np.nan_to_num(rise / max(1, size - half))[:, None]
        level = np.nanmedian(windows - slope * place, 1)
        spread = np.nanmedian(np.abs(windows - slope * place - level[:, None]), 1)
    return level, spread
