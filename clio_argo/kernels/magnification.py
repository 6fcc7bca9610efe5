"""How matched features are scaled from one slice to the other, whatever model the fit of the pair has."""

import numpy as np

from clio_argo.model.alignment import Floats

# a similarity has four numbers; each point gives two
FEWEST_POINTS = 3


def log_scale(fixed: Floats, moving: Floats) -> tuple[float, float] | None:
    """Natural logarithm of the scale from `moving` to `fixed` and its standard error; None of too few points.

    fixed, moving: the same features in both slices, [n, 2], (x, y) in pixels. The scale is that of the similarity of
    least squares, as complex numbers: fixed = factor x moving + offset.
    """
    if len(fixed) < FEWEST_POINTS:
        return None
    target, source = ((p - p.mean(0)) @ [1, 1j] for p in (fixed, moving))
    spread = float(np.vdot(source, source).real)
    factor = np.vdot(source, target) / max(spread, np.finfo(float).tiny)
    if not spread or not factor:
        return None
    left = target - factor * source
    variance = float(np.vdot(left, left).real) / (2 * len(fixed) - 4)
    return float(np.log(abs(factor))), float(np.sqrt(variance / spread)) / abs(factor)
