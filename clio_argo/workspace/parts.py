"""Cuts the work of each stage into parts, by what `estimate` expects of it."""

import os
from collections.abc import Sequence

from clio_argo.model.alignment import RematchUnit
from clio_argo.model.costs import PAIRS_PER_SLICE, Estimate, UnitCosts, slices_of
from clio_argo.model.cutting import Cutting, fits_one_pod
from clio_argo.model.plan import FanOut, Plan
from clio_argo.model.request import Request
from clio_argo.model.step import Pipeline
from clio_argo.model.values import ITEMSIZE
from clio_argo.model.volume import VolumeSpec
from clio_argo.workspace.estimate import estimate, planes_of, slices_rendered

# A pair in doubt takes as long as two others, since all methods are tried on it: some six pairs took 0.6 of the time of
# all first fits of their unit (benchmark `align`, 5 % defects).
IN_DOUBT = 2
# pods of a workflow at a time; a local run has none
PARALLELISM = "CLIO_PARALLELISM"


def cutting_here(request: Request) -> Cutting:
    """How parts are cut where this process runs: for pods if it is one of a workflow, otherwise for local workers."""
    return Cutting.of(request, int(os.environ.get(PARALLELISM) or 0))


def estimate_on_cluster(
    request: Request, plan: Plan, volume: VolumeSpec, costs: UnitCosts, pipeline: Pipeline, pods: int
) -> Estimate:
    """What a run takes on a cluster where so many pods run at a time, with parts that are cut for these."""
    cutting = Cutting.of(request, pods)
    cut = cut_slices(plan, cutting)
    found = estimate(cut, cut_volume(volume, cut, cutting), costs, pipeline)
    return found.in_one_pod if fits_one_pod(request, found) else found


def cut_slices(plan: Plan, cutting: Cutting) -> Plan:
    """The plan with parts of reduce and match."""
    stages, slices = UnitCosts.reference().stages, slices_of(plan, ITEMSIZE[plan.dtype])
    parts = {name: cutting.fan_out(of, stages[name].cpu_s(slices)) for name, of in plan.work.items()}
    return plan.model_copy(update=parts)


def cut_pairs(plan: Plan, units: Sequence[RematchUnit], cutting: Cutting) -> FanOut:
    """Parts of rematch, whose pairs take longer than those of match."""
    pairs = IN_DOUBT * sum(len(unit.pairs) for unit in units)
    every_s = UnitCosts.reference().stages["match"].cpu_s(slices_of(plan, ITEMSIZE[plan.dtype]))
    return cutting.fan_out(FanOut.of(len(units)), every_s * pairs / (PAIRS_PER_SLICE * plan.usable))


def cut_volume(volume: VolumeSpec, plan: Plan, cutting: Cutting) -> VolumeSpec:
    """The shapes with parts of render, write and coarsen."""
    stages, planes = UnitCosts.reference().stages, planes_of(volume)
    parts = {name: cutting.fan_out(of, stages[name].cpu_s(planes)) for name, of in volume.work.items()}
    parts["render"] = cutting.fan_out(volume.render, stages["render"].cpu_s(slices_rendered(plan, volume)))
    return volume.model_copy(update=parts)
