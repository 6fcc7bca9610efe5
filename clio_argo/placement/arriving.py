"""Judges the slices of a stack that still grows, as far as those around them are there."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence, Set
from itertools import pairwise

import numpy as np

from clio_argo.kernels.solve import Solution, isolated_slices
from clio_argo.model.alignment import PairFit, SliceStatistics, centre_shift
from clio_argo.model.plan import Remark
from clio_argo.placement.verdicts import (
    MAD_TO_SIGMA,
    SIGMAS,
    SPREAD_WINDOW,
    WINDOW,
    alignable_slices,
    judge,
    pairs_in_doubt,
    remarks_on_isolated,
    running_median,
)

# so many slices later the medians around a slice are those of the whole stack
SETTLED = WINDOW // 2
Fit = Callable[[int, int], PairFit]
"""Fits slice `z1` onto slice `z0`."""


def stretch(numbers: Sequence[int], new: Set[int]) -> Sequence[int]:
    """The slices, of all in order, against which the new ones among them are judged."""
    first, last = bisect_left(numbers, min(new)), bisect_left(numbers, max(new))
    return numbers[max(0, first - SPREAD_WINDOW) : last + SETTLED + 1]


def judge_new(
    statistics: Sequence[SliceStatistics], fits: Sequence[PairFit] | None, new: Set[int], fit: Fit
) -> tuple[dict[int, Remark], list[PairFit]]:
    """What is wrong with the slices of a stretch, by z, and the fits that were made to find out.

    statistics: of the stretch, ordered by z. fits: of its pairs; None: nothing is aligned. new: z of those that came.
    """
    remarks = judge(statistics, fits)
    if fits is None:
        return remarks, []
    doubtful = [p for p in pairs_in_doubt(statistics, fits, remarks) if not new.isdisjoint(p)]
    more = [fit(*pair) for pair in doubtful]
    known = [*fits, *more]
    remarks = judge(statistics, known) if more else remarks
    usable = alignable_slices(statistics, remarks)
    alone = isolated_slices(usable, [f for f in known if f.matched])
    return {**remarks, **remarks_on_isolated(Solution({}, alone), known)}, more


def find_shifted(
    numbers: Sequence[int], fits: Mapping[tuple[int, int], PairFit], size: tuple[int, int], least_px: float
) -> dict[int, str]:
    """Slices that lie farther from the one below than the slices around them do, by z, and how far.

    numbers: of the slices, in order. size: width and height of a slice in pixels. least_px: smallest shift that counts,
        in full-size pixels.
    """
    pairs = [f for pair in pairwise(numbers) if (f := fits.get(pair)) and f.matrix is not None]
    if not pairs:
        return {}
    shifts = np.array([centre_shift(f.matrix, *size) for f in pairs if f.matrix is not None])
    usual = np.stack([running_median(column) for column in shifts.T], axis=1)
    away = np.hypot(*(shifts - usual).T)
    limit = np.maximum(least_px, SIGMAS * MAD_TO_SIGMA * running_median(away, SPREAD_WINDOW))
    return {
        pairs[i].z1: f"shifted by {away[i]:.0f} px against z {pairs[i].z0}, usually by {np.hypot(*usual[i]):.1f} px"
        for i in np.flatnonzero(away > limit).tolist()
    }
