"""Compares what the stages of a run were expected to take with what they took."""

from collections import Counter
from collections.abc import Mapping, Sequence

from clio_argo.errors import UserError
from clio_argo.model.costs import Estimate, StageEstimate
from clio_argo.model.layout import ESTIMATE, PLAN
from clio_argo.model.plan import Plan
from clio_argo.model.prices import HOUR_S, MACHINE, Prices
from clio_argo.model.run import Attempt, Costs, StageTime
from clio_argo.model.values import ITEMSIZE
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts


def costs_of(store: Store) -> Costs:
    """The costs of a run so far, whether or not it has ended. Raises `UserError` if it has no plan yet."""
    plan = store.find_document(Plan, PLAN)
    if plan is None:
        raise UserError(f"{store.url}{PLAN} does not exist: there is no run, or it has not come so far")
    return reconcile(stage_times(read_attempts(store)[0]), store.intact(Estimate, ESTIMATE), plan)


def stage_times(attempts: Sequence[Attempt]) -> tuple[StageTime, ...]:
    """Time that each stage took, summed over all attempts, in the order in which stages began."""
    stages = dict.fromkeys(a.step for a in sorted(attempts, key=lambda a: a.started))
    return tuple(_stage(step, [a for a in attempts if a.step == step]) for step in stages)


def _stage(step: str, attempts: list[Attempt]) -> StageTime:
    # attempts overlap, and so their sum is not the time that a person waited
    begin, end = min(a.started for a in attempts), max(a.ended for a in attempts)
    return StageTime(
        step=step, units=sum(a.done for a in attempts), wall_s=round(end - begin, 2),
        cpu_s=round(sum(a.cpu_s for a in attempts), 2), busy_s=round(sum(a.wall_s for a in attempts), 2),
        peak_mib=round(max(a.peak_mib for a in attempts)),
        lost=dict(Counter(a.outcome for a in attempts if a.lost)),
    )  # fmt: skip


def reconcile(stages: Sequence[StageTime], estimate: Estimate | None, plan: Plan) -> Costs:
    """The costs of a run whose stages took so long so far.

    estimate: as `plan` wrote it; None in runs of version 0.1, and where it is damaged.
    """
    expected = {s.step: s for s in estimate.stages} if estimate else {}
    compared = tuple(
        s.model_copy(update={"estimated_s": expected[s.step].cpu_s if s.step in expected else None}) for s in stages
    )
    prices = Prices.reference()
    node = prices.machine(MACHINE)
    return Costs(
        stages=compared,
        source_bytes=plan.pixels * ITEMSIZE[plan.dtype],
        vcpu_h=sum(s.busy_s for s in stages) / HOUR_S,
        prices={"spot": node.spot / node.vcpus, "on demand": node.on_demand / node.vcpus},
        priced=f"{MACHINE}, {prices.date}",
        left_s=_left_s(compared, expected),
    )


def _left_s(stages: Sequence[StageTime], expected: Mapping[str, StageEstimate]) -> float:
    """CPU seconds of all units that are not done, if the estimate is as far off as for those that are."""
    done = {s.step: s for s in stages if s.step in expected}
    part = {step: min(1.0, done[step].units / max(1, e.units)) if step in done else 0.0 for step, e in expected.items()}
    known = sum(part[step] * e.cpu_s for step, e in expected.items())
    took = sum(s.cpu_s for s in done.values())
    later = sum((1 - part[step]) * e.cpu_s for step, e in expected.items())
    return round(later * (took / known if known and took else 1.0), 3)
