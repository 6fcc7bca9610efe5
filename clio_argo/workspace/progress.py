"""How far a run is, by its records, and how long it still takes, by the logs of its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass

from clio_argo.errors import MissingInput
from clio_argo.model.costs import Estimate, left_s
from clio_argo.model.layout import COMPLETE, ESTIMATE, FORMER_STEPS, MANIFEST, PLAN
from clio_argo.model.plan import Plan
from clio_argo.model.prices import seconds_by_stage
from clio_argo.model.progress import Progress, StageProgress
from clio_argo.model.run import Attempt
from clio_argo.model.step import Pipeline, Step
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts
from clio_argo.workspace.run import Run


@dataclass(frozen=True)
class _Look:
    """What is read once for all stages. plan: None while slices are still recorded. expected: None if nobody knows."""

    run: Run
    plan: Plan | None
    complete: bool
    attempts: tuple[Attempt, ...]
    expected: Estimate | None

    def stage(self, step: Step) -> StageProgress:
        """How much of a step is done."""
        units = self._units(step)
        # a run of an earlier version has no later stages, and somebody may have removed the logs
        done = units or 0 if self.complete else self._done(step)
        kind, amount = self._amount(step, units or 0)
        return StageProgress(step=step.name, title=step.title, done=done, units=units, kind=kind, amount=amount)

    def _done(self, step: Step) -> int:
        """Units that are done: those with a record, or a step that runs once and came to its end."""
        names = {step.name, FORMER_STEPS.get(step.name, step.name)}
        records = sum(len(self.run.store.names(f"{MANIFEST}/{name}")) for name in names)
        ended = not step.units and any(a.step == step.name and not a.lost for a in self.attempts)
        return max(records, int(ended))

    def _units(self, step: Step) -> int | None:
        """Units of a step; as expected, if a stage before it has not told yet."""
        try:
            return len(self.run.unit_numbers(step))
        except MissingInput:
            expected = self.expected.stages if self.expected else ()
            return next((s.units for s in expected if s.step == step.name), None)

    def _amount(self, step: Step, units: int) -> tuple[str, int]:
        """What people count in a step, and how many of it all units hold."""
        if step.made_from:
            return "block", units
        # units of later fits hold pairs, of which a slice may have several
        of_slices = step.units.startswith(("plan.", "volume."))
        return ("slice", self.plan.usable) if of_slices and self.plan else ("unit", units)


def progress_of(store: Store, pipeline: Pipeline) -> Progress:
    """What of a run is done now."""
    # who follows an acquisition waits for weeks, and whoever notifies people comes when all is done
    beside = {s.name for s in (pipeline.follow, pipeline.on_exit) if s}
    found = (a for a in read_attempts(store)[0] if a.step not in beside)
    attempts = tuple(sorted(found, key=lambda a: a.started))
    expected, plan = store.intact(Estimate, ESTIMATE), store.find_document(Plan, PLAN)
    # its documents say how many units each step has, whichever step it is
    run = Run(store, pipeline.steps[0], pipeline)
    look = _Look(run, plan, store.read(COMPLETE) is not None, attempts, expected)
    stages = tuple(map(look.stage, pipeline.steps))
    return Progress(stages=stages, attempts=attempts, left_s=_left_s(stages, attempts, expected))


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
