"""Decides where every slice lies, which slices are bad, and what fills their planes. Reads and writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import percentiles
from clio_argo.kernels.solve import Solution, identities, solve_stack
from clio_argo.kernels.trend import Rules
from clio_argo.model.alignment import Floats, Matrix, PairFit, PlacedSlice, SliceStatistics, Transforms
from clio_argo.model.plan import Plan, Remark, SliceFile
from clio_argo.model.request import Request
from clio_argo.model.user_inputs import UserInputs
from clio_argo.model.values import StackValues
from clio_argo.placement.flicker import even_out
from clio_argo.placement.grey_steps import grey_steps
from clio_argo.placement.imported import place_imported
from clio_argo.placement.orientation import (
    Turned,
    accept_turned,
    backward,
    explain,
    remark_turned,
    turned_slices,
    upright,
)
from clio_argo.placement.overrides import correct_fits, overrule
from clio_argo.placement.replacement import replace_slices
from clio_argo.placement.shown import place_shown, shown_part
from clio_argo.placement.verdicts import alignable_slices, judge, remarks_on_isolated

# 16-bit values shown as black and white, unless the request says which: one in two hundred is clipped at either end
WINDOW = (0.005, 0.995)
Window = tuple[float, float] | None


@dataclass(frozen=True)
class Statistics:
    """What `reduce` measured: statistics of each slice, ordered by z, and the histogram [grey values] of the stack.

    pattern: fraction of the frame that stays while tissue moves.
    channels: histograms [channel, grey value] of stacks with several channels of 16 bits.
    """

    slices: Sequence[SliceStatistics]
    histogram: NDArray[np.int64]
    pattern: float = 0.0
    channels: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Inputs:
    """What the user provides beside the slices; `imported` are transforms that replace alignment."""

    files: UserInputs
    imported: Transforms | None = None


def decide(
    plan: Plan,
    files: Mapping[int, SliceFile],
    statistics: Statistics,
    fits: Sequence[PairFit] | None,
    inputs: Inputs,
    request: Request,
) -> Transforms:
    """Matrix, verdict and source slices for every z of the plan.

    files: the usable slices by z.
    fits: the fits of pairs; None if alignment is skipped.

    Raises:
        UserError: an override calls a slice good that does not decode.
    """
    if inputs.imported:
        placed = place_imported(inputs.imported, plan, files, statistics.slices, request.source_crop)
    else:
        placed = _place_all(plan, files, statistics.slices, fits, inputs.files, request)
    window = _window(request, plan, placed, statistics.histogram)
    values = _values(plan, statistics.slices)
    windows = _windows(request, plan, statistics.channels)
    found = {"window": window, "values": values, "pattern": statistics.pattern, "sources": inputs.files.files}
    steps = grey_steps(statistics.slices, {s.z for s in placed.slices if s.verdict == "good"})
    placed = placed.model_copy(update={**found, "windows": windows, "grey_steps": steps})
    # overrides come before replacement, so that a slice that the user calls bad gets a neighbour's pixels
    replaced = replace_slices(overrule(inputs.files.overrides, placed), request.bad_slices)
    return even_out(replaced, statistics.slices, request.contrast.flicker)


def _place_all(
    plan: Plan,
    files: Mapping[int, SliceFile],
    statistics: Sequence[SliceStatistics],
    fits: Sequence[PairFit] | None,
    user_inputs: UserInputs,
    request: Request,
) -> Transforms:
    if fits is None:
        remarks = judge(statistics, fits)
        solution = identities([f.z for f in statistics if f.error is None], user_inputs.recorded)
    else:
        turned = turned_slices(corrected := correct_fits(user_inputs.overrides, fits))
        found, fits = (accept_turned(some, turned) for some in (fits, corrected))
        remarks = remark_turned(judge(statistics, upright(found, turned, plan.width, plan.height)), turned)
        usable = alignable_slices(statistics, remarks, user_inputs.overrides.usable)
        solution = _solve(plan, usable, fits, turned, user_inputs, request)
    shown = shown_part(request.source_crop, statistics)
    matrices, (width, height) = place_shown(solution.placed, files, shown)
    # the strongest reason last: a file that cannot be read has no other fault
    remarks = {**remarks, **remarks_on_isolated(solution, fits or []), **plan.remarks}
    digests = {f.z: f.digest for f in statistics}
    return Transforms(
        width=width,
        height=height,
        shown=shown,
        breaks=explain(solution.breaks, fits or ()),
        jumps=solution.jumps,
        trends=solution.trends,
        fits=tuple(fits or ()),
        slices=tuple(
            _placed_slice(z, files.get(z), matrices.get(z), remarks.get(z), digests.get(z, ""), solution.slow.get(z))
            for z in range(plan.minz, plan.maxz + 1)
        ),
    )


def _solve(
    plan: Plan,
    usable: Sequence[int],
    fits: Sequence[PairFit],
    turned: Turned,
    user_inputs: UserInputs,
    request: Request,
) -> Solution:
    """Places of the usable slices, of which some are `turned` back first."""
    rules = Rules(request.alignment.anchor, request.alignment.trend, request.alignment.trend_slices)
    between = upright(fits, turned, plan.width, plan.height)
    solution = solve_stack(usable, between, plan.width, plan.height, user_inputs.recorded, rules)
    back = backward(turned, plan.width, plan.height)
    placed = {z: matrix @ back[z] if z in back else matrix for z, matrix in solution.placed.items()}
    return replace(solution, placed=placed)


def _placed_slice(
    z: int, file: SliceFile | None, matrix: Matrix | None, remark: Remark | None, digest: str, slow: Floats | None
) -> PlacedSlice:
    """slow: slow part [2], (x, y) in pixels, of where the images put the slice."""
    return PlacedSlice(
        z=z,
        file=file.name if file else None,
        page=file.page if file else 0,
        verdict=remark.verdict if remark else "good",
        reason=remark.reason if remark else "",
        matrix=matrix,
        source_slices=(z,),
        digest=digest,
        slow_px=None if slow is None else (round(float(slow[0]), 3), round(float(slow[1]), 3)),
    )


def _window(
    request: Request, plan: Plan, placed: Transforms, histogram: NDArray[np.int64]
) -> tuple[float, float] | None:
    """Grey values of the files shown as black and white; `histogram` [grey values] is that of the whole stack."""
    if request.viewer.window is not None or plan.dtype == "uint8":
        return request.viewer.window
    # imported transforms of a run bring its window, so that the same slices look the same again
    if placed.window is not None and plan.values == (placed.values and placed.values.map):
        return placed.window
    return _stretched(histogram, request)


def _windows(request: Request, plan: Plan, histograms: NDArray[np.int64] | None) -> tuple[Window, ...]:
    """Grey values of each channel shown as black and full colour: the same of red, green and blue.

    histograms: [channel, grey value], of the whole stack.
    """
    counts: list[NDArray[np.int64] | None] = [None] * len(plan.channels) if histograms is None else list(histograms)
    if plan.rgb and histograms is not None:
        counts[:3] = [histograms[:3].sum(axis=0)] * 3
    given = request.viewer.windows
    return tuple(given.get(c.name) or _stretched(h, request) for c, h in zip(plan.channels, counts, strict=True))


def _stretched(histogram: NDArray[np.int64] | None, request: Request) -> Window:
    """The window of grey values, or of a channel that has none of its own, by their histogram [grey value]."""
    if histogram is None or request.viewer.window is not None:
        return request.viewer.window
    low, high = percentiles(histogram, WINDOW)
    return low, max(high, low + 1)


def _values(plan: Plan, statistics: Sequence[SliceStatistics]) -> StackValues | None:
    """What became of the values of the files."""
    if plan.values is None:
        return None
    clipped = {f.z: f.clipped for f in statistics if f.clipped}
    return StackValues(map=plan.values, exact=all(f.exact for f in statistics), clipped=clipped)
