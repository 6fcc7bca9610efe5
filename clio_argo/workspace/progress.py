"""How far a run is, by its records, and how long it still takes, by the logs of its attempts."""

from collections.abc import Sequence

from clio_argo.errors import MissingInput
from clio_argo.model.costs import Estimate, left_s
from clio_argo.model.layout import COMPLETE, ESTIMATE, FORMER_STEPS, MANIFEST, PLAN
from clio_argo.model.plan import Plan
from clio_argo.model.prices import seconds_by_stage
from clio_argo.model.progress import Progress, StageProgress
from clio_argo.model.run import Attempt
from clio_argo.model.step import Pipeline
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts
from clio_argo.workspace.run import Run


def progress_of(store: Store, pipeline: Pipeline) -> Progress:
    """What of a run is done now."""
    # who follows an acquisition waits for weeks, and whoever notifies people comes when all is done
    beside = {s.name for s in (pipeline.follow, pipeline.on_exit) if s}
    found = (a for a in read_attempts(store)[0] if a.step not in beside)
    attempts = tuple(sorted(found, key=lambda a: a.started))
    expected = store.intact(Estimate, ESTIMATE)
    stages = tuple(_stage(Run(store, step, pipeline), attempts, expected) for step in pipeline.steps)
    return Progress(stages=stages, attempts=attempts, left_s=_left_s(stages, attempts, expected))


def _stage(run: Run, attempts: Sequence[Attempt], expected: Estimate | None) -> StageProgress:
    step, units = run.step, _units(run, expected)
    # a run of an earlier version has no later stages, and somebody may have removed the logs
    complete = run.store.read(COMPLETE) is not None
    done = units or 0 if complete else _done(run, attempts)
    kind, amount = _amount(run, units or 0)
    return StageProgress(step=step.name, title=step.title, done=done, units=units, kind=kind, amount=amount)


def _done(run: Run, attempts: Sequence[Attempt]) -> int:
    """Units that are done: those with a record, or a step that runs once and came to its end."""
    names = {run.step.name, FORMER_STEPS.get(run.step.name, run.step.name)}
    records = sum(len(run.store.names(f"{MANIFEST}/{name}")) for name in names)
    ended = not run.step.units and any(a.step == run.step.name and not a.lost for a in attempts)
    return max(records, int(ended))


def _units(run: Run, expected: Estimate | None) -> int | None:
    """Units of a stage; as expected, if a stage before it has not told yet."""
    try:
        return len(run.unit_numbers(run.step))
    except MissingInput:
        return next((s.units for s in expected.stages if s.step == run.step.name), None) if expected else None


def _amount(run: Run, units: int) -> tuple[str, int]:
    """What people count in a stage, and how many of it all units hold."""
    step = run.step
    if step.made_from:
        return "block", units
    # units of later fits hold pairs, of which a slice may have several
    of_slices = step.units.startswith(("plan.", "volume."))
    if of_slices and (plan := run.store.find_document(Plan, PLAN)):
        return "slice", plan.usable
    return "unit", units


def _left_s(stages: Sequence[StageProgress], attempts: Sequence[Attempt], expected: Estimate | None) -> float | None:
    """Seconds until all stages are done, at the pace of the time in which something was done."""
    if expected is None:
        return None
    busy = busy_s(attempts)
    at_once = max(1, round(sum(a.wall_s for a in attempts) / busy)) if busy else 1
    return left_s(seconds_by_stage(expected, at_once), {s.step: s.share for s in stages}, busy)


def busy_s(attempts: Sequence[Attempt]) -> float:
    """Seconds by the clock in which any of the attempts, ordered by their start, was under way."""
    total, end = 0.0, 0.0
    for attempt in attempts:
        total += max(0.0, attempt.ended - max(attempt.started, end))
        end = max(end, attempt.ended)
    return total
