"""Grey values that are others from some slice on: a detector that changed from 12 to 16 bits, or its offset.

The viewer's window is one for the stack, and suits one side of such a step. Flicker, ramps and slices with a fault are
no steps.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from clio_argo.model.alignment import Floats, SliceStatistics

# chosen: operators change brightness and contrast by less; two bits are a factor of 4
LEAST_FACTOR, LEAST_OFFSET = 3.0, 4.0
# slices on either side whose median counts, as many as a running median ignores; and the fewest
SIDE, LEAST_SIDE = 7, 2
# part of a step that lies between two neighbours, where flicker hides some of it
ABRUPT = 0.5


def grey_steps(statistics: Sequence[SliceStatistics], good: Collection[int]) -> tuple[str, ...]:
    """What is to be known of steps of the grey values that stay; slices other than `good` ones do not count."""
    known = [f for f in statistics if f.z in good and f.std > 0]
    means, stds = (np.array([getattr(f, name) for f in known], np.float64) for name in ("mean", "std"))
    contrast = _steps(np.log(stds), lambda *_: np.log(LEAST_FACTOR))
    offset = _steps(means, lambda at: LEAST_OFFSET * max(np.median(side) for side in _sides(stds, at)))
    between = {at: f"from z {known[at - 1].z} to z {known[at].z}" for at in {*contrast, *offset}}
    told = [f"by a factor of {_factor(by)} {between[at]}" for at, by in contrast.items()]
    told += [f"by {by:+.0f} {between[at]}" for at, by in offset.items() if at not in contrast]
    return (f"the grey values step {', '.join(told)}: one window of the viewer suits one side",) if told else ()


def _factor(logarithm: float) -> str:
    return f"{np.exp(logarithm):.2g}" if logarithm > 0 else f"1/{np.exp(-logarithm):.2g}"


def _steps(values: Floats, least: Callable[[int], float]) -> dict[int, float]:
    """Index of the first slice behind each step of `values` [slices], and its height; least: the lowest step there."""
    found = dict[int, float]()
    for at in range(LEAST_SIDE, len(values) - LEAST_SIDE + 1):
        below, above = _sides(values, at)
        height = float(np.median(above) - np.median(below))
        here = float(values[at] - values[at - 1])
        if abs(height) >= least(at) and here / height >= ABRUPT:
            found[at] = height
    return found


def _sides(values: Floats, at: int) -> tuple[Floats, Floats]:
    """Up to seven of `values` [slices] before `at`, and from it on."""
    return values[max(0, at - SIDE) : at], values[at : at + SIDE]
