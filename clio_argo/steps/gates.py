"""Gates: what stops a run before it renders, unless a person lets it pass."""

from collections.abc import Iterable

from clio_argo.errors import GateStopped
from clio_argo.model.alignment import Transforms
from clio_argo.model.config import IngestConfig
from clio_argo.model.plan import Plan
from clio_argo.model.run import Gate

CANVAS_LIMIT = 2


def gates(transforms: Transforms, plan: Plan, config: IngestConfig) -> tuple[Gate, ...]:
    """All gates with their values; the problems of one that stops say how to let it pass, if that is possible."""
    every = (_empty(transforms, plan), _bad(transforms, plan, config), _breaks(transforms, config),
             _canvas(transforms, plan))  # fmt: skip
    return tuple(g.model_copy(update={"problems": ()}) if g.passed else g for g in every)


def check_gates(found: Iterable[Gate]) -> None:
    """Raise GateStopped with the problems of all gates that stop."""
    problems = [p for gate in found for p in gate.problems]
    if problems:
        raise GateStopped("\n".join(["stopped before rendering:", *(f"  - {p}" for p in problems)]))


def _empty(transforms: Transforms, plan: Plan) -> Gate:
    why = ("no slice is good: there is nothing to show",)
    return Gate(
        name="unusable", value=len(transforms.flagged), limit=plan.depth - 1, unit="slices", problems=why
    )


def _bad(transforms: Transforms, plan: Plan, config: IngestConfig) -> Gate:
    flagged, allowed = transforms.flagged, config.allowed_bad(plan.depth)
    problems = (f"{len(flagged)} of {plan.depth} slices are bad or missing, at most {allowed} may be; "
                f"to put neighbours in their place: --allow-bad-slices {len(flagged)}",
                *(f"z {s.z} {s.file or ''}: {s.verdict}, {s.reason}" for s in flagged))  # fmt: skip
    return Gate(name="max_bad", value=len(flagged), limit=allowed, unit="slices", problems=problems)


def _breaks(transforms: Transforms, config: IngestConfig) -> Gate:
    breaks = transforms.breaks
    problems = (f"the stack is broken in {len(breaks)} places, at most {config.max_breaks} may be; to place the parts "
                f"where they were recorded: --set max_breaks={len(breaks)}",
                *(f"no link crosses from z {b.below} to z {b.above}" for b in breaks))  # fmt: skip
    return Gate(
        name="max_breaks", value=len(breaks), limit=config.max_breaks, unit="breaks", problems=problems
    )


def _canvas(transforms: Transforms, plan: Plan) -> Gate:
    why = (f"the canvas would be {transforms.width} x {transforms.height} for slices of {plan.width} x "
           f"{plan.height}: the slices drift apart; look at transforms.csv",)  # fmt: skip
    times = max(transforms.width / plan.width, transforms.height / plan.height)
    return Gate(name="canvas", value=round(times, 3), limit=CANVAS_LIMIT, unit="slice sizes", problems=why)
