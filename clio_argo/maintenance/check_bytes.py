"""Reads every byte of what stays of a run, and compares it with the manifest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clio_argo.errors import ClioError
from clio_argo.model.layout import COMPLETE, CONFIG, LATER_STEPS, PLAN, TRANSFORMS, VOLUME, is_kept, record_name
from clio_argo.model.run import Completion, Fault, UnitRecord, Verification
from clio_argo.model.step import Step
from clio_argo.store.documents import crc32c
from clio_argo.store.manifest import damages, read_records
from clio_argo.workspace.comparison import NO_RECORD
from clio_argo.workspace.run import Run

# Which units there are and what they own follows from these: where one is damaged, nothing else can be judged.
NEEDED = {CONFIG, PLAN, TRANSFORMS, VOLUME, record_name("plan", 0), record_name("solve", 0)}


@dataclass(frozen=True)
class Checked:
    """How many bytes were read, faults, and notes on what could not be compared."""

    bytes: int = 0
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, parts: Iterable["Checked"]) -> "Checked":
        """The sum of some parts."""
        known = list(parts)
        faults, notes = (f for p in known for f in p.faults), (n for p in known for n in p.notes)
        return cls(sum(p.bytes for p in known), tuple(faults), tuple(notes))


def check_bytes(run: Run, step: Step, units: Sequence[int]) -> Checked:
    """Compare all objects of some units with the checksums in their records, except those under tmp/."""
    size, faults = 0, list[Fault]()
    for unit, record in zip(units, read_records(run.store, step.name, units), strict=True):
        size += sum(o.size for o in record.objects if is_kept(o.name)) if record else 0
        wrong = _damages(run, step, unit, record)
        faults += [Fault(name=name, what=what, step=step.name, unit=unit) for name, what in wrong]
    return Checked(bytes=size, faults=tuple(faults))


def _damages(run: Run, step: Step, unit: int, record: UnitRecord | None) -> Iterator[tuple[str, str]]:
    """Names of damaged objects of a unit, and what is wrong with each."""
    if record is None:
        yield record_name(step.name, unit), NO_RECORD
        return
    for o, what in damages(run.store, [o for o in record.objects if is_kept(o.name)]):
        if what:
            yield o.name, what


def check_documents(run: Run) -> list[Fault]:
    """Compare the documents of the alignment with the manifest, up to the first damage that leaves no unit known."""
    # in the order of the steps, since the units of a step are read from documents of earlier ones
    faults: list[Fault] = []
    for step in run.pipeline.until("solve"):
        faults += check_bytes(run, step, _known_units(run, step, faults)).faults
        if any(f.name in NEEDED for f in faults):
            break
    return faults


def _known_units(run: Run, step: Step, faults: Sequence[Fault]) -> Sequence[int]:
    """The units of a step; none if the document that lists them is damaged."""
    try:
        older = step.name in LATER_STEPS and step.name not in run.plan.algorithms
        return [] if older else run.unit_numbers(step)
    except ClioError:
        # A damaged document is among the faults of the step that wrote it. Without one this is another error.
        if not faults:
            raise
        return []


def check_completion(run: Run, verification: Verification) -> list[Fault]:
    """Compare complete.json, and what was written with it, with the manifest."""
    done = run.store.intact(Completion, COMPLETE)
    if done is None:
        return [_publish("is missing or cannot be read: the run is not complete")]
    faults = list(check_bytes(run, run.pipeline["publish"], [0]).faults)
    # complete.json may be sound and still be that of another state of the run
    if done.manifest != verification.manifest:
        faults.append(_publish("has the digest of another manifest"))
    if done.config_digest != crc32c(run.store.need(CONFIG)):
        faults.append(_publish("has the digest of another request than config.json"))
    return faults


def _publish(what: str) -> Fault:
    return Fault(name=COMPLETE, what=what, step="publish")
