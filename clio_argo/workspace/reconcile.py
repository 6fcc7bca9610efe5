"""Compares what the stages of a run were expected to take with what they took."""

from collections.abc import Mapping, Sequence

from clio_argo.model.costs import Estimate
from clio_argo.model.plan import Plan
from clio_argo.model.prices import MACHINE, Prices
from clio_argo.model.run import Costs, StageTime


def reconcile(stages: Sequence[StageTime], estimate: Estimate | None, plan: Plan) -> Costs:
    """The costs of a run whose stages took so long so far.

    estimate: as `plan` wrote it; None in runs of version 0.1, and where it is damaged.
    """
    expected = {s.step: s.cpu_s for s in estimate.stages} if estimate else {}
    compared = tuple(s.model_copy(update={"estimated_s": expected.get(s.step)}) for s in stages)
    prices = Prices.reference()
    node = prices.machine(MACHINE)
    return Costs(
        stages=compared,
        source_bytes=plan.pixels * (1 if plan.dtype == "uint8" else 2),
        vcpu_h=sum(s.busy_s for s in stages) / 3600,
        prices={"spot": node.spot / node.vcpus, "on demand": node.on_demand / node.vcpus},
        priced=f"{MACHINE}, {prices.date}",
        left_s=_left_s(compared, expected),
    )


def _left_s(stages: Sequence[StageTime], expected: Mapping[str, float]) -> float:
    """CPU seconds of the stages that have not begun, if the estimate is as far off as for those that have."""
    begun = {s.step for s in stages}
    later = sum(seconds for step, seconds in expected.items() if step not in begun)
    known = sum(expected.get(step, 0.0) for step in begun)
    took = sum(s.cpu_s for s in stages if s.estimated_s is not None)
    return round(later * (took / known if known else 1.0), 1)
