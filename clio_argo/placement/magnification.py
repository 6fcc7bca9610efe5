"""Whether the magnification stays the same over a stack, by how matched features are scaled from slice to slice."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from clio_argo.model.alignment import PairFit, Transforms
from clio_argo.placement.verdicts import running_median

# microscopes keep their scale within a thousandth, and people measure in the volume
LIMIT_RANGE, LIMIT_STEP = 0.01, 0.005
# Tissue scales neighbours, too: its noise, counted at the corner of a field, and the error of the features make a
# standard deviation. In fields of 300 to 520 px of medulla a step has at most 2.5 of them, and the whole range 4.4 of
# those of its steps together (5.3 if slices are scaled by 0.1 % at random); a step of 0.6 % has 7 and more at 480 px, a
# zoom of 3 % over 30 slices 7 and more, unless the tissue tapers against it.
SURE_STEP, SURE_RANGE = 5.0, 6.0
# slices of the running median from which the range is taken: single ones that are scaled are no trend
SMOOTH = 7
# what lies within so many of a limit may lie beyond it
DOUBT = 1.0
# a smaller field is filled by one or two cells: one that tapers scaled 200 px by 10 % over 58 slices (8.9)
LEAST_RADIUS_PX = 200.0
Scale = tuple[int, int, float, float]
"""z of two neighbours, the logarithm of the upper one's scale against the lower one, and its standard deviation."""


def magnification_notes(transforms: Transforms, width: int, height: int) -> tuple[str, ...]:
    """What is to be known of slices that are scaled against each other; empty if they are not.

    width, height: of the slices, in pixels.
    """
    radius_px = float(np.hypot(width, height)) / 2
    scales = _scales(transforms, radius_px)
    return (*_range(scales, radius_px), *_step(scales)) if scales else ()


def _scales(transforms: Transforms, radius_px: float) -> list[Scale]:
    """Neighbours that are placed and not replaced, with what their fit tells."""
    numbers = [s.z for s in transforms.slices if s.matrix and s.source_slices == (s.z,)]
    fits = {(f.z0, f.z1): f for f in transforms.fits if f.matched}
    return [(*pair, *_scale(fits[pair], radius_px)) for pair in pairwise(numbers) if pair in fits]


def _scale(fit: PairFit, radius_px: float) -> tuple[float, float]:
    # a fit's scale enlarges the upper slice to the size of the lower one
    scale, error = fit.log_scale or (0.0, 0.0)
    return -scale, float(np.hypot(error, fit.noise_px / radius_px))


def _range(scales: Sequence[Scale], radius_px: float) -> list[str]:
    summed = running_median(np.concatenate([[0.0], np.cumsum([s[2] for s in scales])]), SMOOTH)
    first, last = sorted((int(summed.argmin()), int(summed.argmax())))
    deviation = float(np.linalg.norm([s[3] for s in scales[first:last]]))
    change = float(summed[last] - summed[first])
    if radius_px < LEAST_RADIUS_PX or not _beyond(change, deviation, SURE_RANGE, LIMIT_RANGE):
        return []
    return [
        f"the magnification changes by {np.expm1(change):+.1%} from z {scales[first][0]} to z {scales[last - 1][1]}"
    ]


def _step(scales: Sequence[Scale]) -> list[str]:
    steps = [s for s in scales if _beyond(s[2], s[3], SURE_STEP, LIMIT_STEP)]
    if not steps:
        return []
    below, above, change, _ = max(steps, key=lambda s: abs(s[2]))
    most = ", most of all" if len(steps) > 1 else ""
    return [f"the magnification steps by {np.expm1(change):+.1%} from z {below} to z {above}{most}"]


def _beyond(change: float, deviation: float, sure: float, limit: float) -> bool:
    return abs(change) > max(sure * deviation, limit - DOUBT * deviation)
