"""Reads what a run wrote, whole, and compares it with the manifest."""

from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from clio_argo.errors import ClioError
from clio_argo.model.base import Value
from clio_argo.model.layout import COMPLETE, CONFIG, PLAN, TRANSFORMS, VOLUME, is_kept, record_name
from clio_argo.model.run import Completion, Fault, UnitRecord, Verification
from clio_argo.model.step import Step
from clio_argo.store.documents import crc32c
from clio_argo.store.manifest import damages, read_records
from clio_argo.workspace.comparison import NO_RECORD
from clio_argo.workspace.run import Run

# where one of these is damaged, nothing else can be judged
NEEDED = {CONFIG, PLAN, TRANSFORMS, VOLUME, record_name("plan", 0), record_name("solve", 0)}


class Checked(Value):
    """What was read, and what is wrong with it."""

    bytes: int = 0
    decoded: int = Field(0, description="Bytes of voxels, both volumes.")
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, parts: Iterable["Checked"]) -> "Checked":
        """All parts as one."""
        every = list(parts)
        return cls(
            bytes=sum(p.bytes for p in every),
            decoded=sum(p.decoded for p in every),
            faults=tuple(f for p in every for f in p.faults),
            notes=tuple(n for p in every for n in p.notes),
        )


def check_bytes(run: Run, step: Step, units: Sequence[int]) -> Checked:
    """Compare with their CRC32C all objects of some units that stay."""
    size, faults = 0, list[Fault]()
    for unit, record in zip(units, read_records(run.store, step.name, units), strict=True):
        size += sum(o.size for o in record.objects if is_kept(o.name)) if record else 0
        wrong = _damages(run, step, unit, record)
        faults += [Fault(name=name, what=what, step=step.name, unit=unit) for name, what in wrong]
    return Checked(bytes=size, faults=tuple(faults))


def _damages(run: Run, step: Step, unit: int, record: UnitRecord | None) -> Iterator[tuple[str, str]]:
    if record is None:
        yield record_name(step.name, unit), NO_RECORD
        return
    for o, what in damages(run.store, [o for o in record.objects if is_kept(o.name)]):
        if what:
            yield o.name, what


def check_documents(run: Run) -> list[Fault]:
    """Compare all documents with the manifest, up to the first that the others cannot be judged without."""
    faults: list[Fault] = []
    for step in run.pipeline.until("solve"):
        faults += check_bytes(run, step, _units_on_record(run, step, faults)).faults
        if any(f.name in NEEDED for f in faults):
            break
    return faults


def _units_on_record(run: Run, step: Step, faults: Sequence[Fault]) -> Sequence[int]:
    """The units of a step; none if the document that tells them is damaged."""
    try:
        return run.numbered_units(step)
    except ClioError:
        # the step that wrote the document has been checked before this one
        if not faults:
            raise
        return []


def check_completion(run: Run, verification: Verification) -> list[Fault]:
    """Compare complete.json and what it was written with with the manifest as it is."""
    done = run.store.intact(Completion, COMPLETE)
    if done is None:
        return [_publish("is missing or cannot be read: the run is not complete")]
    faults = list(check_bytes(run, run.pipeline["publish"], [0]).faults)
    if done.manifest != verification.manifest:
        faults.append(_publish("tells of another manifest than there is"))
    if done.config_digest != crc32c(run.store.need(CONFIG)):
        faults.append(_publish("tells of another request than config.json"))
    return faults


def _publish(what: str) -> Fault:
    return Fault(name=COMPLETE, what=what, step="publish")
