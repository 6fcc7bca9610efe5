"""The slow part of a path: its straight line and all curves longer than a number of slices.

Tissue that runs obliquely moves the best fit of each pair a little, always to the same side; a stage that drifts
steadily looks the same, so no image tells them apart. They differ in the rest of the path: what moves a stage is never
only slow.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.ndimage import median_filter

from clio_argo.kernels.anchor import JUMP_WINDOW, Anchor
from clio_argo.kernels.noise import LEAST_FIT_PX, robust_std
from clio_argo.model.alignment import Floats, Part, Trend

# slices further from the slow part than that many standard deviations do not draw it towards them
CLIP_SIGMAS, ROUNDS = 4.0, 6
# a stage that drifts by 0.5 px a slice has a walk of 0.6 to 1.3 px in shorter curves, 0.3 with 30; tissue has none
TREND_SLICES = 50
# chosen. Of what tissue does to a pair: an oblique run of 0.3 px a slice on top of the medulla's own has 1.6
STEEPEST = 4.0
Source = Literal["auto", "recorded", "images"]


@dataclass(frozen=True)
class Parts:
    """What a path [slices, columns] in pixels is made of: its slow part, and the rest without jumps and outliers."""

    slow: Floats
    rest: Floats


def split(path: Floats, jumps: NDArray[np.bool_], trend_slices: float) -> Parts:
    """Slow part of `path` [slices, columns], pixels, around 0, and the rest; jumps, bool [slices - 1], are in neither.

    trend_slices: the shortest wavelength of the slow part, in slices.
    """
    slow = _smooth(median_filter(path - _levels(path, jumps), (JUMP_WINDOW + 1, 1), mode="nearest"), trend_slices)
    for _ in range(ROUNDS):
        rest = path - slow
        rest -= _levels(rest, jumps)
        limit = CLIP_SIGMAS * np.maximum([robust_std(c) for c in rest.T], LEAST_FIT_PX)
        rest = np.clip(rest, -limit, limit)
        slow = _smooth(slow + rest, trend_slices)
    return Parts(slow - slow.mean(0), rest)


def _levels(path: Floats, jumps: NDArray[np.bool_]) -> Floats:
    """Level [slices, columns] that `path` [slices, columns] has after each jump, by medians of up to eight slices."""
    steps, after = np.zeros_like(path), np.flatnonzero(jumps) + 1
    ends = [0, *after, len(path)]
    for begin, at, end in zip(ends, after, ends[2:], strict=False):
        below, above = path[max(begin, at - JUMP_WINDOW) : at], path[at : min(end, at + JUMP_WINDOW)]
        steps[at] = np.median(above, 0) - np.median(below, 0)
    levels = np.cumsum(steps, 0)
    return levels + np.median(path - levels, 0)


def _smooth(path: Floats, trend_slices: float) -> Floats:
    """Straight line and cosines of at least `trend_slices` slices that lie nearest to `path` [slices, columns]."""
    z = np.linspace(-1, 1, len(path))
    line = np.outer(z, z @ path / (z @ z))
    waves = dct(path - line, axis=0, norm="ortho")
    waves[int(2 * len(path) / trend_slices) + 1 :] = 0
    return np.asarray(line + idct(waves, axis=0, norm="ortho"))


def speed_px(slow: Floats) -> float:
    """By how much the slow part [slices, columns] moves from slice to slice, a scalar in pixels (root mean square)."""
    return float(np.sqrt((np.diff(slow, axis=0) ** 2).sum(1).mean()))


def measured(part: Part, slow: Floats, follows: bool) -> Trend:
    """The trend of a part whose slow part is `slow` [slices, columns] in pixels; whether the result follows it."""
    return Trend(
        part=part,
        follows="images" if follows else "recorded",
        px_per_slice=round(speed_px(slow), 4),
        extent_px=round(float(np.linalg.norm(np.ptp(slow, axis=0))), 2),
    )


@dataclass(frozen=True)
class Rules:
    """How recorded positions are used.

    anchored: whether slices are held near them. trend: which path the slow part follows, trend_slices: the shortest
    wavelength of that part. hold_px: standard deviation of all drift. walk_is_stage: whether a walk tells of a stage
    that drifts; shapes of tissue walk, too (with their trends the demo stack errs by 2.1 px, without by 1.3).
    """

    anchored: bool = True
    trend: Source = "auto"
    trend_slices: float = TREND_SLICES
    hold_px: float = np.inf
    walk_is_stage: bool = True

    def follows_images(self, drift: Anchor, speed_px: float, wrong_px: float) -> bool:
        """Whether a slow part of this speed belongs to the stage, if the rest of the path drifts so."""
        drifts = (self.walk_is_stage and drift.walk_px > wrong_px) or speed_px > STEEPEST * wrong_px
        return self.trend == "images" or (self.trend == "auto" and (drifts or not self.anchored))

    def sets_aside(self, follows: bool, speed_px: float, wrong_px: float) -> bool:
        """Whether the slow part is taken out before slices are held: it would pull against the anchor."""
        # a slow part too weak to be told from noise does no harm
        return follows or self.trend == "recorded" or (self.walk_is_stage and speed_px > wrong_px)

    def bounded(self, slow: Floats, wrong_px: float) -> Floats:
        """The slow part [slices, columns] as far as the path may go in all, if fits alone may have added it up."""
        if speed_px(slow) > STEEPEST * wrong_px:
            return slow
        rms_px = float(np.sqrt((slow**2).sum(1).mean()))
        return slow * min(1.0, self.hold_px / max(rms_px, LEAST_FIT_PX))


RULES = Rules()
