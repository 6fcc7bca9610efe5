"""Gates: limits that stop a run before it renders, unless the user raises them."""

import math
from collections.abc import Iterable

from clio_argo.errors import GateStopped
from clio_argo.model.alignment import PlacedSlice, Transforms
from clio_argo.model.base import counted, share
from clio_argo.model.layout import TRANSFORMS_TABLE
from clio_argo.model.plan import Plan
from clio_argo.model.problems import first_lines
from clio_argo.model.request import Request
from clio_argo.model.run import Gate
from clio_argo.placement.replacement import longest_gap
from clio_argo.placement.residuals import disagreement_px

# a canvas twice as wide and high as the largest slice is four times the data; no stage moves so far, but wrong fits do
CANVAS_LIMIT = 2


def gates(transforms: Transforms, plan: Plan, request: Request) -> tuple[Gate, ...]:
    """All gates with their values; the problems of a gate that stops say how to raise its limit, if possible."""
    every = (_empty(transforms, plan), _bad(transforms, plan, request), _gap(transforms, request),
             _breaks(transforms, request), _residual(transforms, plan, request), _canvas(transforms, plan))  # fmt: skip
    return tuple(g.model_copy(update={"problems": ()}) if g.passed else g for g in every)


def check_gates(checked: Iterable[Gate]) -> None:
    """Raise `GateStopped` with the problems of all gates that stop: first how to go on, which a cut must not lose."""
    stopped = [gate.problems for gate in checked if gate.problems]
    if stopped:
        first = [f"  - {problem}" for problem, *_ in stopped]
        details = [f"    {d}" for _, *more in stopped for d in first_lines(more, "; the report has all")]
        raise GateStopped("\n".join(["stopped before rendering:", *first, *details]))


def _empty(transforms: Transforms, plan: Plan) -> Gate:
    problems = ("no slice is good: there is nothing to show",)
    return Gate(name="unusable", value=len(transforms.flagged), limit=plan.depth - 1, unit="slices", problems=problems)


def _bad(transforms: Transforms, plan: Plan, request: Request) -> Gate:
    flagged, allowed = transforms.flagged, request.allowed_bad(plan.depth)
    problems = (f"{share(len(flagged), plan.depth, 'slice')} bad or missing, at most {allowed} may be; "
                f"to replace them by neighbours: {allow_bad(len(flagged))}",
                *map(_why, flagged))  # fmt: skip
    return Gate(name="max_bad", value=len(flagged), limit=allowed, unit="slices", problems=problems)


def allow_bad(slices: int) -> str:
    """How a person allows so many bad slices, in a request and behind the commands that take one."""
    return f"max_bad: {slices} in the request, or plan, align, run and submit with --allow-bad-slices {slices}"


def _why(flagged: PlacedSlice) -> str:
    file = f" {flagged.file}" if flagged.file else ""
    # the reason of a slice that is missing may be no more than that
    return f"z {flagged.z}{file}: {', '.join(dict.fromkeys((flagged.verdict, flagged.reason)))}"


def _gap(transforms: Transforms, request: Request) -> Gate:
    gap = longest_gap(s.z for s in transforms.flagged)
    return Gate(
        name="max_gap", value=len(gap), limit=request.max_gap, unit="slices", problems=(gap_problem(gap, request),)
    )


def gap_problem(gap: range, request: Request) -> str:
    """The problem of too many bad or missing slices in a row, and how to raise the limit."""
    return (f"{counted(len(gap), 'slice')} bad or missing in a row (z {gap.start} to {gap.stop - 1}), at most "
            f"{request.max_gap} may be; to go on: --set max_gap={len(gap)}")  # fmt: skip


def _residual(transforms: Transforms, plan: Plan, request: Request) -> Gate:
    errors = disagreement_px(transforms, plan.width, plan.height)
    worst = max((error for *_, error in errors), default=0.0)
    over = [(a, b, e) for a, b, e in errors if e > request.max_residual_px]
    problems = (f"{counted(len(over), 'slice')} further than {request.max_residual_px:g} px from where any fit leads;"
                f" to go on after a look: --set max_residual_px={math.ceil(worst)}",
                *(f"z {a} to {b}: {e:.1f} px" for a, b, e in over))  # fmt: skip
    return Gate(
        name="max_residual_px", value=round(worst, 3), limit=request.max_residual_px, unit="px", problems=problems
    )


def _breaks(transforms: Transforms, request: Request) -> Gate:
    breaks = transforms.breaks
    found = counted(len(breaks), "break")
    problems = (f"the stack has {found}, at most {request.max_breaks} may be; to place the parts "
                f"at their recorded positions: --set max_breaks={len(breaks)}",
                *(b.text for b in breaks))  # fmt: skip
    return Gate(name="max_breaks", value=len(breaks), limit=request.max_breaks, unit="breaks", problems=problems)


def _canvas(transforms: Transforms, plan: Plan) -> Gate:
    problems = (f"the canvas would be {transforms.width} x {transforms.height} for slices of {plan.width} x "
                f"{plan.height}: the slices drift apart; look at {TRANSFORMS_TABLE}",)  # fmt: skip
    times = max(transforms.width / plan.width, transforms.height / plan.height)
    return Gate(name="canvas", value=round(times, 3), limit=CANVAS_LIMIT, unit="slice sizes", problems=problems)
