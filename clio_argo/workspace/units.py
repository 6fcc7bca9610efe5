"""Units of work: each is done once, and its record names its inputs and the objects that it wrote."""

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clio_argo.model.layout import CLEANED, COMPLETE, is_removable
from clio_argo.model.run import ObjectRecord, UnitRecord
from clio_argo.model.step import Counts, StepResult
from clio_argo.store.manifest import NEW, read_record, why_again
from clio_argo.workspace.run import Run

# where the steps of this process begin and end of all that it does, in percent
SHARE = "CLIO_PROGRESS"


@dataclass(frozen=True)
class Done:
    """The objects that a unit wrote, and the slices that turned out bad in it, as `z: reason`."""

    objects: Sequence[ObjectRecord]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """The record of a unit, and the reason why it was done now; None if it had been done before."""

    reason: str | None
    record: UnitRecord


def once(run: Run, unit: int, inputs: object, work: Callable[[], Done]) -> Outcome:
    """Do a unit unless its record shows that it was done from the same inputs.

    inputs: everything that the result depends on besides the declared settings; anything with a JSON form.

    Two runners that do the same unit write the same bytes, so the order of their writes does not matter.

    Raises:
        SupersededError: another request has replaced this one.
    """
    record, before = run.new_record(unit, inputs), read_record(run.store, run.step.name, unit)
    # Objects are read whole here. Their presence proves nothing: a store may hold one cut short or of 0 bytes, and a
    # missing shard reads as zeros.
    reason = why_again(run.store, _what_stays(run, before), record)
    if before is not None and reason is None:
        return Outcome(None, before)
    if run.is_cleaned:
        # what this is made from may be gone; without the marker the next run makes that again
        run.store.delete(CLEANED)
    # before the first write: units of the request that replaced this one may have the same names
    run.refuse_superseded()
    started = time.process_time()
    done = work()
    cpu_s = round(time.process_time() - started, 3)
    update = {"objects": tuple(done.objects), "cpu_s": cpu_s, "notes": tuple(done.notes)}
    record = record.model_copy(update=update)
    # after the objects: a run that is killed in between does the unit again
    run.write_record(record)
    return Outcome(reason, record)


def _what_stays(run: Run, record: UnitRecord | None) -> UnitRecord | None:
    """A record without the objects that may be gone."""
    if record is None or not run.is_cleaned:
        return record
    return record.model_copy(update={"objects": tuple(o for o in record.objects if not is_removable(o.name))})


def record_whole(run: Run, objects: Iterable[ObjectRecord]) -> None:
    """Record what a step without units wrote, and delete what it wrote before and did not write again."""
    record, before = run.new_record(0, objects=objects), read_record(run.store, run.step.name, 0)
    # another version of the program with the same result must not touch the record: verify counts who made what
    if before is not None and before.model_copy(update={"software": record.software}) == record:
        return
    # a volume that is being remade is not complete meanwhile
    run.store.delete(COMPLETE)
    # deleted before the new record replaces the old one: a run that is killed in between finds them there again
    run.store.delete_all({o.name for o in (before.objects if before else ())} - {o.name for o in record.objects})
    run.write_record(record)


def each_unit(units: Iterable[int], do: Callable[[int], Outcome]) -> StepResult:
    """Do units in order; the result counts those done now, those done before, and the reasons for reruns."""
    numbers, outcomes = list(units), list[Outcome]()
    for unit in numbers:
        report_progress(len(outcomes), len(numbers))
        outcomes.append(do(unit))
    report_progress(len(outcomes), len(numbers))
    reasons = [o.reason for o in outcomes if o.reason is not None]
    return StepResult(
        counts=Counts(
            done=len(reasons),
            skipped=len(outcomes) - len(reasons),
            again=dict(Counter(reason for reason in reasons if reason != NEW)),
            bytes=sum(o.size for outcome in outcomes for o in outcome.record.objects),
            peak_mib=peak_mib(),
        )
    )


def report_progress(done: int, units: int) -> None:
    """Write N/M to the file whose content Argo shows beside the pod."""
    if not (name := os.environ.get("ARGO_PROGRESS_FILE")):
        return
    if share := os.environ.get(SHARE):
        begin, end = map(int, share.split())
        done, units = begin + (end - begin) * done // max(units, 1), 100
    Path(name).write_text(f"{done}/{units}\n")


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
