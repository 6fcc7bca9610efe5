"""Surveys the source by its headers, takes ownership of the run's root and writes the plan."""

import os
from collections.abc import Sequence

from clio_argo.model.costs import UnitCosts
from clio_argo.model.cutting import fits_one_pod
from clio_argo.model.layout import CONFIG, ESTIMATE, PLAN, slices_name
from clio_argo.model.parse_request import from_environment
from clio_argo.model.plan import Plan
from clio_argo.model.request import Request
from clio_argo.model.step import SINGLE_MIB, StepResult
from clio_argo.workspace.began import remember
from clio_argo.workspace.cleaning import forget_if_needed
from clio_argo.workspace.estimate import estimate
from clio_argo.workspace.expected import remove_outgrown_units
from clio_argo.workspace.moved import lost_ends, moved_slices
from clio_argo.workspace.outputs import memory_of_alignment, parts_of_slices
from clio_argo.workspace.ownership import refuse_newer, take_ownership
from clio_argo.workspace.parts import cut_slices, cutting_here
from clio_argo.workspace.preflight import preflight
from clio_argo.workspace.run import Run, open_run
from clio_argo.workspace.survey import survey
from clio_argo.workspace.units import record_whole
from clio_argo.workspace.user_inputs import resolved, write_user_inputs


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write config.json, plan.json, copies of the request's files and one document of slices per unit.

    The request comes from the environment (CLIO_REQUEST, JSON); without it from the run's config.json.
    """
    # from the environment, because no shell interprets text there
    request = from_environment(os.environ) or run.request
    checked = preflight(request)
    checked.refuse()
    plan = checked.plan.model_copy(update={"algorithms": run.pipeline.versions})
    refuse_newer(run.store, plan.algorithms)
    moved = moved_slices(run.store, checked.units) if request.order == "name" else ""
    owner = resolved(request, plan)
    lost = lost_ends(run.store, owner, plan)
    note = take_ownership(run.store, owner)
    # read now: a request that takes over from here on is another one, and its plan is not to be recorded as this one's
    run.refuse_superseded()
    remember(run.store, owner)
    record_whole(run, [
        run.store.record(CONFIG),
        *run.store.write_all((slices_name(unit.unit), unit.to_bytes()) for unit in checked.units),
        *write_user_inputs(run.store, checked.given, checked.units),
        run.store.write(PLAN, plan.to_bytes()),
    ])  # fmt: skip
    expected = estimate(plan, checked.need_volume, UnitCosts.reference(), run.pipeline)
    # beside the records, nothing depends on it; where it lies the request says that was just written
    open_run(run.store.url).write(ESTIMATE, expected.to_bytes())
    remove_outgrown_units(run, "plan")
    forget_if_needed(run)
    note = "; ".join(filter(None, (note, moved, lost, plan.step_text, checked.warning)))
    parts, memory_mib = parts_of_slices(plan, checked.units), memory_of_alignment(plan)
    memory_mib[SINGLE_MIB] = expected.memory_mib
    single = fits_one_pod(request, expected)
    return StepResult(parts=parts, memory_mib=memory_mib, note=note, estimate=expected, single=single)


def plan(request: Request) -> Plan:
    """The plan of a run of `request`. Reads headers only and writes nothing. Raises `UserError`."""
    return cut_slices(survey(request)[0], cutting_here(request))
