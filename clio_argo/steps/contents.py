"""Reads what a run wrote, whole, and compares it with the manifest."""

from collections.abc import Iterable, Iterator

from pydantic import Field

from clio_argo.model.alignment import Inspection
from clio_argo.model.base import Value
from clio_argo.model.run import Completion, Fault, UnitRecord, Verification
from clio_argo.steps.base import COMPLETE, CONFIG, INSPECTION, PLAN, TRANSFORMS, VOLUME, Run
from clio_argo.steps.verify import NO_RECORD, is_kept
from clio_argo.store.documents import crc32c
from clio_argo.store.manifest import damages, read_records, record_name

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


def contents(run: Run, step: str, units: Iterable[int]) -> Checked:
    """Compare with their CRC32C all objects of some units that stay."""
    wanted = list(units)
    size, faults = 0, list[Fault]()
    for unit, record in zip(wanted, read_records(run.store, step, wanted), strict=True):
        size += sum(o.size for o in record.objects if is_kept(o)) if record else 0
        faults += [Fault(name=n, what=w, step=step, unit=unit) for n, w in _wrong(run, step, unit, record)]
    return Checked(bytes=size, faults=tuple(faults))


def _wrong(run: Run, step: str, unit: int, record: UnitRecord | None) -> Iterator[tuple[str, str]]:
    if record is None:
        yield record_name(step, unit), NO_RECORD
        return
    for o, what in damages(run.store, [o for o in record.objects if is_kept(o)]):
        if what:
            yield o.name, what


def documents(run: Run) -> list[Fault]:
    """Compare all documents with the manifest, up to the first that the others cannot be judged without."""
    faults: list[Fault] = []
    for step, units in _document_units(run):
        faults += contents(run, step, units).faults
        if any(f.name in NEEDED for f in faults):
            break
    return faults


def _document_units(run: Run) -> Iterator[tuple[str, Iterable[int]]]:
    """The steps that write documents, in their order, each with its units."""
    yield "plan", [0]
    yield "match", range(run.plan.match.units)
    yield "inspect", [0]
    # that of `inspect` has been told of if it is damaged
    inspection = run.store.intact(Inspection, INSPECTION)
    yield "relink", [r.unit for r in inspection.relinks] if inspection else []
    yield "solve", [0]


def completion(run: Run, found: Verification) -> list[Fault]:
    """Compare complete.json and what it was written with with the manifest as it is."""
    done = run.store.intact(Completion, COMPLETE)
    if done is None:
        return [_publish("is missing or cannot be read: the run is not complete")]
    faults = list(contents(run, "publish", [0]).faults)
    if done.manifest != found.manifest:
        faults.append(_publish("tells of another manifest than there is"))
    if done.config_digest != crc32c(run.store.need(CONFIG)):
        faults.append(_publish("tells of another request than config.json"))
    return faults


def _publish(what: str) -> Fault:
    return Fault(name=COMPLETE, what=what, step="publish")
