"""How two runs of one stack differ: in settings, verdicts, places and fits."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product

import numpy as np
from pydantic import Field

from clio_argo.errors import UserError
from clio_argo.model.alignment import Floats, Matrix, PlacedSlice, Transforms, apply, homogeneous
from clio_argo.model.base import Value

# of the slices and pairs that differ most
MOST = 10
# rounding moves a slice by less
LEAST_PX = 0.01


class OtherVerdict(Value):
    """A slice on which two runs disagree, with the reasons."""

    z: int
    first: str
    second: str


class OtherPlace(Value):
    """A pair of neighbours that two runs place otherwise against each other."""

    z0: int
    z1: int
    px: float = Field(description="Mean distance of nine points of the upper slice between its two places, in pixels.")


class TwoRuns(Value):
    """What differs between two runs of a stack."""

    settings: tuple[str, ...] = Field(description="Settings that differ, as `key: first -> second`.")
    only_first: tuple[int, ...] = Field(description="Slices that only the first run has, by z.")
    only_second: tuple[int, ...]
    verdicts: tuple[OtherVerdict, ...]
    compared: int = Field(description="Pairs of neighbours that both runs place.")
    median_px: float | None = Field(description="Median distance of the places of these; None: there are none.")
    largest: tuple[OtherPlace, ...] = Field(description="Those that differ most, at most ten.")
    residual_px: tuple[float | None, float | None] = Field(description="Median residual of the fits of both runs.")
    matched: tuple[int, int] = Field(description="Number of pairs that were matched in both runs.")

    @property
    def alike(self) -> bool:
        """Whether slices have the same verdicts and lie at the same places."""
        return not (self.only_first or self.only_second or self.verdicts or self.largest)


def compare_runs(first: Transforms, second: Transforms, settings: Sequence[str], size: tuple[int, int]) -> TwoRuns:
    """What differs. settings: that differ, in words. size: width and height of a slice in pixels.

    Raises:
        UserError: no slice of one run is in the other.
    """
    ours, theirs = ({s.z: s for s in run.slices} for run in (first, second))
    if not ours.keys() & theirs.keys():
        raise UserError("the two runs have no slice in common: they are of different stacks, or of different parts")
    places = list(_places(first, second, size))
    moved = sorted((p for p in places if p.px > LEAST_PX), key=lambda p: (-p.px, p.z0))
    return TwoRuns(
        settings=tuple(settings),
        only_first=tuple(sorted(ours.keys() - theirs.keys())), only_second=tuple(sorted(theirs.keys() - ours.keys())),
        verdicts=tuple(OtherVerdict(z=z, first=_verdict(ours[z]), second=_verdict(theirs[z]))
                       for z in sorted(ours.keys() & theirs.keys()) if ours[z].verdict != theirs[z].verdict),
        compared=len(places), median_px=round(statistics.median(p.px for p in places), 3) if places else None,
        largest=tuple(moved[:MOST]),
        residual_px=(_residual(first), _residual(second)),
        matched=(sum(f.matched for f in first.fits), sum(f.matched for f in second.fits)),
    )  # fmt: skip


def _verdict(placed: PlacedSlice) -> str:
    return ", ".join(filter(None, (placed.verdict, placed.reason)))


def _residual(run: Transforms) -> float | None:
    """Median residual of the matched features in pixels; None if nothing was matched by features."""
    known = [f.residual_px for f in run.fits if f.matched and f.residual_px]
    return round(statistics.median(known), 3) if known else None


def _places(first: Transforms, second: Transforms, size: tuple[int, int]) -> Iterator[OtherPlace]:
    """Neighbours that both runs place: relative to each other, since canvases begin where they like."""
    one, two = ({s.z: s.matrix for s in run.slices if s.matrix is not None} for run in (first, second))
    points: Floats = np.array([*product((0, (size[0] - 1) / 2, size[0] - 1), (0, (size[1] - 1) / 2, size[1] - 1))])
    for pair in pairwise(sorted(one.keys() & two.keys())):
        apart = apply(_relative(one, *pair), points) - apply(_relative(two, *pair), points)
        px = float(np.hypot(*apart.T).mean())
        yield OtherPlace(z0=pair[0], z1=pair[1], px=round(px, 3) if math.isfinite(px) else math.inf)


def _relative(matrices: Mapping[int, Matrix], z0: int, z1: int) -> Floats:
    """The affine [3, 3] from slice z1 to slice z0."""
    return np.asarray(np.linalg.inv(homogeneous(matrices[z0])) @ homogeneous(matrices[z1]))
