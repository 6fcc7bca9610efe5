"""Units of work: each is done once, and its record says from what and what it wrote."""

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clio_argo.model.run import ObjectRecord, UnitRecord
from clio_argo.model.step import Counts, StepResult
from clio_argo.store.manifest import NEW, read_record, why_again
from clio_argo.workspace.run import Run


@dataclass(frozen=True)
class Done:
    """What a unit wrote, and which slices turned out bad in it."""

    objects: Sequence[ObjectRecord]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """Why a unit was done, None if it had been done before; and its record."""

    why: str | None
    record: UnitRecord


def once(run: Run, unit: int, inputs: object, work: Callable[[], Done]) -> Outcome:
    """Do a unit unless its record says that it is done from the same inputs.

    Two runners that do the same unit write the same bytes, so that it does not matter whose come last.
    """
    wanted, before = run.record(unit, inputs), read_record(run.store, run.step.name, unit)
    why = why_again(run.store, before, wanted)
    if before is not None and why is None:
        return Outcome(None, before)
    run.refuse_superseded()
    started = time.process_time()
    done = work()
    spent = round(time.process_time() - started, 3)
    facts = {"objects": tuple(done.objects), "cpu_s": spent, "notes": tuple(done.notes)}
    record = wanted.model_copy(update=facts)
    run.keep(record)
    return Outcome(why, record)


def record_whole(run: Run, objects: Iterable[ObjectRecord]) -> None:
    """Record what a step without units wrote, and delete what it wrote before and has no longer."""
    record, before = run.record(0, objects=objects), read_record(run.store, run.step.name, 0)
    # another version of the program that comes to the same changes nothing
    if before is not None and before.model_copy(update={"software": record.software}) == record:
        return
    # first, so that a run that is killed in between finds them in the record again
    earlier = {o.name for o in before.objects} if before else set[str]()
    for name in earlier - {o.name for o in record.objects}:
        run.store.delete(name)
    run.keep(record)


def each_unit(units: Iterable[int], do: Callable[[int], Outcome]) -> StepResult:
    """Do units in order; the result counts those done now and those done before, and why some were done again."""
    numbers, outcomes = list(units), list[Outcome]()
    for unit in numbers:
        report_progress(len(outcomes), len(numbers))
        outcomes.append(do(unit))
    report_progress(len(outcomes), len(numbers))
    reasons = [o.why for o in outcomes if o.why is not None]
    return StepResult(
        counts=Counts(
            done=len(reasons),
            skipped=len(outcomes) - len(reasons),
            again=dict(Counter(why for why in reasons if why != NEW)),
            bytes=sum(o.size for outcome in outcomes for o in outcome.record.objects),
            peak_mib=peak_mib(),
        )
    )


def report_progress(done: int, units: int) -> None:
    """Write N/M where Argo reads it: it shows the file's content beside the pod."""
    if name := os.environ.get("ARGO_PROGRESS_FILE"):
        Path(name).write_text(f"{done}/{units}\n")


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
