"""Fits slices that arrived to their neighbours, and judges them."""

from collections.abc import Sequence
from itertools import pairwise

from clio_argo.follow.judged import Judged
from clio_argo.kernels.features import Reduced
from clio_argo.kernels.orientation import fit_oriented
from clio_argo.model.alignment import PairFit
from clio_argo.model.follow import FollowedSlice
from clio_argo.model.request import Request
from clio_argo.placement.arriving import SETTLED, find_shifted, judge_new, stretch
from clio_argo.workspace.followed import read_reduced

# slices in small that are kept: each is fitted to three neighbours on either side
KEPT = 16


class Placing:
    """What is known of the slices that were judged, and those in small that the next are fitted to."""

    def __init__(self, judged: Judged, request: Request) -> None:
        self._judged, self._request = judged, request
        self._reduced: dict[int, Reduced] = {}
        self._aligned = not (request.alignment.skip or request.transforms)

    def keep(self, z: int, reduced: Reduced) -> None:
        """Keep slice z in small for its neighbours."""
        others = {k: r for k, r in self._reduced.items() if k != z}
        self._reduced = {**dict(list(others.items())[1 - KEPT :]), z: reduced}

    def reduced(self, z: int) -> Reduced | None:
        """Slice z in small; None if it does not decode."""
        if z not in self._reduced and (found := read_reduced(self._judged.store, z)):
            self.keep(z, found)
        return self._reduced.get(z)

    def place(self, new: Sequence[FollowedSlice], size: tuple[int, int]) -> list[FollowedSlice]:
        """Fit and judge new slices; returns them, and others whose verdict changed.

        size: width and height of the largest slice in pixels.
        """
        self._judged.put(*new)
        arrived = {s.z for s in new}
        numbers = stretch(self._judged.numbers, arrived) if new else []
        before = {z: self._judged.slices[z].wrong for z in numbers}
        if new:
            self._fit_new(numbers, arrived)
            self._judge_again(numbers, arrived, size)
        return [s for z in numbers if (s := self._judged.slices[z]).wrong != before[z] or z in arrived]

    def _fit_new(self, numbers: Sequence[int], arrived: set[int]) -> None:
        """Fit new slices to their neighbours on either side."""
        usable = [z for z in numbers if self._judged.slices[z].statistics.usable] if self._aligned else []
        self._judged.add_fits([self._fit(*p) for p in pairwise(usable) if not arrived.isdisjoint(p)])

    def _judge_again(self, numbers: Sequence[int], arrived: set[int], size: tuple[int, int]) -> None:
        """Judge the slices of a stretch, as far as new ones can change what is said of them."""
        statistics = [self._judged.slices[z].statistics for z in numbers]
        fits = tuple(self._judged.fits(numbers).values()) if self._aligned else None
        remarks, more = judge_new(statistics, fits, arrived, self._fit)
        self._judged.add_fits(more)
        shifted = find_shifted(numbers, self._judged.fits(numbers), size, self._request.follow.jump_px)
        # verdicts farther below have all the neighbours that count
        for z in numbers[max(0, numbers.index(min(arrived)) - SETTLED) :]:
            update = {"remark": remarks.get(z), "jump": shifted.get(z, "")}
            self._judged.put(self._judged.slices[z].model_copy(update=update))

    def _fit(self, z0: int, z1: int) -> PairFit:
        fixed, moving = self.reduced(z0), self.reduced(z1)
        if fixed is None or moving is None:
            return PairFit(z0=z0, z1=z1, reason="what was kept of a slice is damaged")
        return fit_oriented(fixed, moving, z0, z1, self._request.alignment.model)
